"""AdamW: torch's own updates, without torch's compiler."""

import subprocess
import sys

import pytest
import torch

from gelda.optimizer import AdamW


def trained(kind: type[torch.optim.Optimizer], fused: bool) -> torch.Tensor:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(5, 3), torch.randn(20, 5)
    optimizer = kind(layer.parameters(), lr=1e-2, weight_decay=0.05, fused=fused)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for _ in range(8):
        optimizer.zero_grad(set_to_none=True)
        layer(x).square().mean().backward()
        optimizer.step()
        schedule.step()
    return torch.cat([p.detach().flatten() for p in layer.parameters()])


@pytest.mark.parametrize("fused", [True, False])
def test_updates_are_those_of_torch_bit_by_bit(fused):
    assert torch.equal(trained(AdamW, fused), trained(torch.optim.AdamW, fused))


def test_training_a_head_does_not_import_the_compiler():
    code = (
        "import sys, torch; from gelda.adapter import Adapter, HeadData, HeadPlan\n"
        "from gelda.heads import fit\n"
        "data = HeadData(torch.randn(9, 4), torch.arange(9) % 3, torch.ones(9))\n"
        "fit(Adapter((4,), 3, 1, 0), [data], [HeadPlan(loss='logit-adjustment')], steps=2, batch_size=4)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stdout + done.stderr
