"""Full fine-tuning at 224 px: this project's Trainer against a plain Trainer script."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.frame import Options
from benchmarks.markdown import grid, rate, ratio

NAME = "train_finetune"
TITLE = "Full fine-tuning at 224 px, batches of 32"
PEER = Path(__file__).parent / "peers" / "plain_trainer.py"
GROUPS = {
    "convolutions, backward": ("convolution_backward", "_DepthwiseBackward"),
    "convolutions, forward": ("mkldnn_convolution", "_Depthwise"),
    "BatchNorm": ("native_batch_norm", "native_batch_norm_backward"),
    "activations": ("clamp", "hardtanh_backward"),
    "dropout masks": ("bernoulli_",),
    "copies and conversions": ("copy_", "fill_", "constant_pad_nd"),
}
"""Operators of torch's profiler, by their own time."""


def run(options: Options) -> dict:
    """Both in one run; then one step of ours under the profiler."""
    from benchmarks import machine
    from benchmarks.timing import fresh_process
    from benchmarks.training import NO_EVALUATION, arguments_for, speed, stage_data, timed_steps
    from hf_model.modeling.base import load_base_model

    steps = 4 if options.quick else 24
    plain_folder = options.scratch / "base"
    base = load_base_model("efficientnet-lite0")
    base.model.save_pretrained(plain_folder)
    base.preprocessing.save(plain_folder)
    command = [PEER, plain_folder, options.folder("chest-xray-pneumonia"), str(steps), "0", options.scratch / "peer"]
    peer = json.loads(fresh_process(command, env={"HF_HUB_OFFLINE": "1"})["stdout"].splitlines()[-1])
    result = {"plain": speed(peer, skip=2)}
    for precision in ("fp32", "auto"):
        arguments = arguments_for(options, f"--precision={precision}", f"--max_steps={steps}", *NO_EVALUATION)
        ours, _, stage = stage_data(arguments)
        trained = timed_steps(ours, stage, arguments[-1], options.scratch / precision)
        result[precision] = speed(trained, skip=2) | {"bf16": arguments[-1].bf16}
    result["step"] = _where(trained["trainer"])
    result["multiply_adds"] = 3 * _forward_multiply_adds(ours.model)
    kind = "bf16" if result["auto"]["bf16"] else "f32"
    result["limit"] = machine.matrix_rate(kind) / result["multiply_adds"]
    result["limit_precision"] = kind
    return result


def _forward_multiply_adds(model) -> int:
    """Of one 224 px picture's forward pass, by torch's own counter (which counts two for each)."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(pixel_values=torch.zeros(1, 3, 224, 224))
    return counter.get_total_flops() // 2


def _where(trainer) -> dict[str, float]:
    """Shares of one training step's processor time, by kind of operator."""
    from torch.profiler import ProfilerActivity, profile

    model = trainer.model.train()
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(trainer.args.train_batch_size)])
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        trainer.training_step(model, batch)
        trainer.optimizer.step()
    events = profiled.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    names = {event.key.removeprefix("aten::"): event.self_cpu_time_total for event in events}
    shares = {group: sum(names.get(name, 0) for name in parts) / total for group, parts in GROUPS.items()}
    return shares | {"everything else": 1 - sum(shares.values())}


def table(section: dict) -> str:
    """Pictures a second, and where the time goes."""
    plain = section["plain"]["pictures_per_second"]
    names = {
        "plain": "plain Trainer script, PIL transforms a picture, float32",
        "fp32": "train.py, float32",
        "auto": f"train.py, precision chosen here ({'bf16' if section['auto']['bf16'] else 'float32'})",
    }
    rows = [
        [
            label,
            rate(section[key]["pictures_per_second"]),
            ratio(section[key]["pictures_per_second"] / plain),
            f"{100 * section[key]['waiting_share']:.1f} %",
        ]
        for key, label in names.items()
    ]
    where = ", ".join(f"{name} {100 * share:.0f} %" for name, share in section["step"].items())
    share = section["auto"]["pictures_per_second"] / section["limit"]
    return (
        grid(["", "pictures", "times the plain script", "of the time waiting for data"], rows)
        + f"\n\nWhere a step's time goes: {where}. The machine's {section['limit_precision']} matrix rate alone would "
        f"allow {section['limit']:.0f} pictures a second ({section['multiply_adds'] / 1e6:.0f} million multiply-adds "
        f"each): {100 * share:.0f} % of that is reached, because the depthwise layers, BatchNorm and activations move "
        "memory and multiply little."
    )
