"""DeepFilterNet2's network as one step over any number of frames, with all it remembers in its arguments.

What lives here: the step, made of the loaded model's own layers; and its state. What does not: loading
(`_dfn_upstream`), features and sound (`_dfn_core`), other runtimes (`_dfn_onnx`). Heavy: imported inside
`load()` only.

Upstream sees a whole file at once: convolutions pad in time, the mask of frame t needs features up to t + 2
and the deep filter at t masked frames up to t + 2. Here the padding is the end of the last block, the
recurrent layers carry on, and frames wait in two queues; frame t − 4 comes out when t goes in. Results are
upstream's to float rounding, whatever the blocks.

Reference: Schröter et al., "DeepFilterNet2: Towards Real-Time Speech Enhancement on Embedded Devices for
Full-Band Audio", 2022.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from clearcast.errors import ModelCorrupt

STATE_NAMES = (
    *("seen_erb", "seen_spec", "seen_c0"),  # ends of the inputs of convolutions in time
    *("hidden_emb", "hidden_erb", "hidden_df"),
    *("noisy", "masked", "coefs"),  # frames that wait for their mask, and for the masked ones after them
)


class StreamStep(nn.Module):
    """Call: step(spec, feat_erb, feat_spec, *state) → (spec out, *state).

    Shapes, for T frames: spec (1, T, bins, 2), feat_erb (1, 1, T, bands), feat_spec (1, 2, T, df bins);
    out as spec, four frames late. Raises ModelCorrupt for variants that upstream never published.
    """

    minus_imaginary: Tensor
    swapped: Tensor

    def __init__(self, model: Any, params: Any, post_filter: bool) -> None:
        super().__init__()
        _refuse_other_variants(model, params)
        model = _with_plain_products(copy.deepcopy(model))
        self.enc, self.erb_dec, self.df_dec, self.mask = model.enc, model.erb_dec, model.df_dec, model.mask
        self.erb_conv0, self.df_conv0 = _unpadded(model.enc.erb_conv0), _unpadded(model.enc.df_conv0)
        self.df_convp = _unpadded(model.df_dec.df_convp)
        self.post_filter = post_filter or bool(model.mask.post_filter)
        self.df_bins, self.order = params.nb_df, params.df_order
        self.bins, self.bands = params.fft_size // 2 + 1, params.nb_erb
        self.channels = params.conv_ch
        self.conv_context = params.conv_kernel_inp[0] - 1
        self.path_context = params.df_pathway_kernel_size_t - 1
        self.lookahead = params.conv_lookahead
        self.df_lookahead = params.df_lookahead

        self.register_buffer("minus_imaginary", torch.tensor([1.0, -1.0]), persistent=False)
        self.register_buffer("swapped", torch.tensor([1, 0]), persistent=False)

    def initial_state(self) -> list[Tensor]:
        """Before the first frame; order and meaning as STATE_NAMES."""
        before_df = self.order - 1
        hidden = [gru.gru for gru in (self.enc.emb_gru, self.erb_dec.emb_gru, self.df_dec.df_gru)]
        return [
            torch.zeros(1, 1, self.conv_context, self.bands),
            torch.zeros(1, 2, self.conv_context, self.df_bins),
            torch.zeros(1, self.channels, self.path_context, self.df_bins),
            *(torch.zeros(gru.num_layers, 1, gru.hidden_size) for gru in hidden),
            torch.zeros(1, self.lookahead, self.bins, 2),
            torch.zeros(1, before_df, self.bins, 2),
            torch.zeros(1, self.df_lookahead, self.df_bins, 2 * self.order),
        ]

    def forward(self, spec: Tensor, feat_erb: Tensor, feat_spec: Tensor, *state: Tensor) -> Any:
        seen_erb, seen_spec, seen_c0, hidden_emb, hidden_erb, hidden_df, noisy, masked, coefs = state
        feat_erb, feat_spec = torch.cat((seen_erb, feat_erb), 2), torch.cat((seen_spec, feat_spec), 2)
        levels, c0, embedding, hidden_emb = self._encode(feat_erb, feat_spec, hidden_emb)
        mask, hidden_erb = self._mask(embedding, levels, hidden_erb)
        c0 = torch.cat((seen_c0, c0), 2)
        new_coefs, hidden_df = self._coefs(embedding, c0, hidden_df)

        frames = spec.shape[1]
        noisy = torch.cat((noisy, spec), 1)
        masked = torch.cat((masked, noisy[:, :frames] * mask.unsqueeze(-1)), 1)
        coefs = torch.cat((coefs, new_coefs), 1)
        out = self._deep_filter(masked, coefs[:, :frames], frames)
        return (
            out,
            feat_erb[:, :, -self.conv_context :],
            feat_spec[:, :, -self.conv_context :],
            c0[:, :, -self.path_context :],
            *(hidden_emb, hidden_erb, hidden_df),
            noisy[:, -self.lookahead :],
            masked[:, -(self.order - 1) :],
            coefs[:, -self.df_lookahead :],
        )

    def _encode(self, feat_erb: Tensor, feat_spec: Tensor, hidden: Tensor) -> Any:
        """`Encoder.forward`, without its padding and its estimate of the local SNR."""
        enc = self.enc
        e0 = self.erb_conv0(feat_erb)
        e1 = enc.erb_conv1(e0)
        e2 = enc.erb_conv2(e1)
        e3 = enc.erb_conv3(e2)
        c0 = self.df_conv0(feat_spec)
        from_df = enc.df_fc_emb(enc.df_conv1(c0).permute(0, 2, 3, 1).flatten(2))
        embedding = enc.combine(e3.permute(0, 2, 3, 1).flatten(2), from_df)
        embedding, hidden = enc.emb_gru(embedding, hidden)
        return (e0, e1, e2, e3), c0, embedding, hidden

    def _mask(self, embedding: Tensor, levels: tuple[Tensor, ...], hidden: Tensor) -> tuple[Tensor, Tensor]:
        """`ErbDecoder.forward` and `Mask.forward` up to the gain of every bin, shape (1, T, bins)."""
        dec = self.erb_dec
        e0, e1, e2, e3 = levels
        decoded, hidden = dec.emb_gru(embedding, hidden)
        decoded = dec.fc_emb(decoded)
        decoded = decoded.view(1, -1, e3.shape[3], self.channels).permute(0, 3, 1, 2)
        decoded = dec.convt3(dec.conv3p(e3) + decoded)
        decoded = dec.convt2(dec.conv2p(e2) + decoded)
        decoded = dec.convt1(dec.conv1p(e1) + decoded)
        mask = dec.conv0_out(dec.conv0p(e0) + decoded)
        if self.post_filter:
            mask = self.mask.pf(mask)
        return mask[:, 0].matmul(self.mask.erb_inv_fb), hidden

    def _coefs(self, embedding: Tensor, c0: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """`DfDecoder.forward`: shape (1, T, df bins, 2 · order)."""
        dec = self.df_dec
        decoded, hidden = dec.df_gru(embedding, hidden)
        if dec.df_skip is not None:
            decoded = decoded + dec.df_skip(embedding)
        path = self.df_convp(c0).permute(0, 2, 3, 1)
        return dec.df_out(decoded).view(1, -1, self.df_bins, 2 * self.order) + path, hidden

    def _deep_filter(self, masked: Tensor, coefs: Tensor, frames: int) -> Tensor:
        """`multiframe.DF.forward` in real numbers, which every runtime knows."""
        taps = [masked[:, tap : tap + frames, : self.df_bins] for tap in range(self.order)]
        past = torch.stack(taps, 3)  # (1, T, df bins, order, 2)
        coefs = coefs.view(1, -1, self.df_bins, self.order, 2)
        real = (past * coefs * self.minus_imaginary).sum((3, 4))
        imaginary = (past * coefs[..., self.swapped]).sum((3, 4))
        at = self.order - 1 - self.df_lookahead
        above = masked[:, at : at + frames, self.df_bins :]
        return torch.cat((torch.stack((real, imaginary), -1), above), 2)


class _GroupedLinear(nn.Module):
    """`df.modules.GroupedLinearEinsum` as a product of matrices: ONNX Runtime is slow at Einsum."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.weight = original.weight  # (groups, in / groups, out / groups)
        self.groups, self.size = original.groups, original.hidden_size

    def forward(self, values: Tensor) -> Tensor:
        grouped = values.view(-1, self.groups, self.weight.shape[1]).transpose(0, 1)
        return torch.bmm(grouped, self.weight).transpose(0, 1).reshape(1, -1, self.size)


def _with_plain_products(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if type(child).__name__ == "GroupedLinearEinsum":
            setattr(module, name, _GroupedLinear(child))
        else:
            _with_plain_products(child)
    return module


def _unpadded(layers: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*[layer for layer in layers if not isinstance(layer, nn.ConstantPad2d)])


def _refuse_other_variants(model: Any, params: Any) -> None:
    fits = (
        type(model).__module__ == "df.deepfilternet2"
        and model.run_df
        and params.gru_type == "squeeze"
        and params.dfop_method == "df"
        and params.df_n_iter == 1
        and params.conv_kernel[0] == 1
        and min(params.conv_lookahead, params.df_lookahead, params.conv_kernel_inp[0] - 1) > 0
        and params.df_pathway_kernel_size_t > 1
        and params.fft_size == 2 * params.hop_size
    )
    if not fits:
        raise ModelCorrupt(
            "This DeepFilterNet checkpoint is of another kind than the published DeepFilterNet2.",
            hint="Use the folder DeepFilterNet2 of the published archive.",
        )
