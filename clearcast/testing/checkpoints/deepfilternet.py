"""A DeepFilterNet2 model folder as its own package reads it, with random weights and the published shape.

The files are those of the published archive DeepFilterNet2.zip: config.ini and one checkpoint.
"""

from __future__ import annotations

from pathlib import Path

# The published values of the sections that shape the network; those of training do not matter here.
_CONFIG = """\
[train]
model = deepfilternet2
mask_only = false
df_only = false
jit = false

[df]
sr = 48000
fft_size = 960
hop_size = 480
nb_erb = 32
nb_df = 96
norm_tau = 1
lsnr_max = 35
lsnr_min = -15
min_nb_erb_freqs = 2
pad_mode = input_specf
df_order = 5
df_lookahead = 2

[deepfilternet]
conv_lookahead = 2
conv_ch = {conv_ch}
conv_depthwise = True
convt_depthwise = True
conv_dec_mode = transposed
conv_kernel = 1,3
conv_kernel_inp = 3,3
emb_hidden_dim = {hidden}
emb_num_layers = 3
df_hidden_dim = {hidden}
df_num_layers = 2
df_pathway_kernel_size_t = 5
df_output_layer = groupedlinear
df_gru_skip = none
df_n_iter = 1
dfop_method = df
gru_type = squeeze
gru_groups = 8
linear_groups = 8
group_shuffle = False
enc_concat = True
mask_pf = False
"""

PUBLISHED_CONV_CHANNELS, PUBLISHED_HIDDEN = 64, 256


def write_deepfilternet2(
    folder: Path,
    *,
    conv_channels: int = PUBLISHED_CONV_CHANNELS,
    hidden: int = PUBLISHED_HIDDEN,
    seed: int = 0,
) -> Path:
    """Write config.ini and checkpoints/model_96.ckpt.best; returns `folder`. Full size is 9 MB.

    The same seed writes the same weights.
    """
    import torch

    from clearcast.engines.denoise._dfn_upstream import import_upstream

    import_upstream()
    from df.config import config
    from df.model import ModelParams, init_model
    from libdf import DF

    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    text = _CONFIG.format(conv_ch=conv_channels, hidden=hidden)
    (folder / "config.ini").write_text(text, encoding="utf-8")
    config.load(str(folder / "config.ini"), config_must_exist=True, allow_reload=True)
    params = ModelParams()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = init_model(
            DF(params.sr, params.fft_size, params.hop_size, params.nb_erb, params.min_nb_freqs)
        )
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):  # or a wrong mode of it would not show
                torch.nn.init.normal_(layer.get_buffer("running_mean"), 0, 0.1)
                torch.nn.init.uniform_(layer.get_buffer("running_var"), 0.5, 1.5)
                layer.weight.uniform_(0.7, 1.3)
                layer.bias.normal_(0, 0.1)
        torch.save(model.state_dict(), folder / "checkpoints" / "model_96.ckpt.best")
    return folder
