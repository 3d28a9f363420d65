"""Denoising by DeepFilterNet2, full-band, 48 kHz.

Results are those of `df.enhance.enhance` on the whole file for the same checkpoint, however the sound is
cut: everything the network remembers is carried on. Live sound comes out 50 ms late.

Reference: Schröter et al., "DeepFilterNet2: Towards Real-Time Speech Enhancement on Embedded Devices for
Full-Band Audio", 2022.
"""

from __future__ import annotations

import importlib.metadata
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clearcast.engines.denoise._stream import DenoiseCore
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineOptions
from clearcast.engines.model_choice import device_for, given_folder, is_path, published
from clearcast.errors import ModelCorrupt
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate

if TYPE_CHECKING:
    from clearcast.engines.denoise._dfn_kept import StreamNetwork

_PUBLISHED = ModelSpec(
    name="deepfilternet2",
    repo="Rikorose/DeepFilterNet",
    files=("config.ini", "checkpoints/model_96.ckpt.best"),
    licence="MIT OR Apache-2.0",
    size_bytes=8_600_000,
    # Beside the source of the package, which says where that is.
    archive_url=importlib.metadata.metadata("deepfilternet")["Home-page"]
    + "/raw/main/models/DeepFilterNet2.zip",
)


@dataclass(frozen=True)
class Deepfilternet2Options(EngineOptions):
    """Attributes:
    model: "deepfilternet2", or the path of a folder with config.ini and checkpoints/, written with a slash.
    backend: "onnx" exports the network once and runs it by ONNX Runtime on the CPU, several times faster
        for live sound; "torch" runs upstream's layers as they are.
    device: for "torch": "auto" takes the GPU where there is one.
    threads: that one stream may use with "onnx".
    """

    model: str = _PUBLISHED.name
    backend: Literal["onnx", "torch"] = "onnx"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 1


class Deepfilternet2Engine(DenoiseEngine):
    """DeepFilterNet2 by its own package's layers, hop by hop."""

    Options = Deepfilternet2Options
    options: Deepfilternet2Options
    can_post_filter = True

    @classmethod
    def models(cls, options: Deepfilternet2Options) -> tuple[ModelSpec, ...]:
        if is_path(options.model):
            return ()
        return (published(options.model, {_PUBLISHED.name: _PUBLISHED}, "DeepFilterNet2 model"),)

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return (_PUBLISHED,)

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        self._folder = self._find()
        self._networks: dict[bool, StreamNetwork] = {}
        self._networks_lock = threading.Lock()
        self._network(post_filter=False)

    def _find(self) -> Path:
        if self.models(self.options):
            return locate(_PUBLISHED, self.context.models_dir)
        folder = given_folder(self.options.model, self.engine_name())
        if not (folder / "config.ini").is_file():
            raise ModelCorrupt(f"{folder} is no DeepFilterNet2 model: config.ini is missing.")
        return folder

    def _network(self, post_filter: bool) -> StreamNetwork:
        """Made when first asked for."""
        with self._networks_lock:
            if post_filter not in self._networks:
                self._networks[post_filter] = self._read_or_made(post_filter)
            return self._networks[post_filter]

    def _read_or_made(self, post_filter: bool) -> StreamNetwork:
        from clearcast.engines.denoise._dfn_kept import KeptExport, StreamParams, network_of

        kept = KeptExport.of(self._folder, post_filter)
        if self.options.backend == "onnx":
            network = kept.read(self.options.threads)
            if network is not None:
                return network
        from clearcast.engines.denoise._dfn_network import StreamStep
        from clearcast.engines.denoise._dfn_onnx import exported, torch_network
        from clearcast.engines.denoise._dfn_upstream import load_upstream

        upstream = load_upstream(self._folder)
        step = StreamStep(upstream.model, upstream.params, post_filter).eval()
        params = StreamParams.of(upstream.params, upstream.alpha)
        if self.options.backend == "torch":
            return torch_network(step, params, self._device())
        content = exported(step)
        kept.write(content, params)
        return network_of(content, params, self.options.threads)

    def _device(self) -> str:
        import torch

        return device_for(self.options.device, "DeepFilterNet2", has_gpu=torch.cuda.is_available())

    def _open(self, channels: int, options: DenoiseOptions) -> DenoiseCore:
        from clearcast.engines.denoise._dfn_core import DfnCore

        return DfnCore(self._network(options.post_filter), channels)
