"""Muon, the optimizer of the hidden matrices (github.com/KellerJordan/Muon)."""
import math

import torch


@torch.no_grad()
def orthogonalise(g, steps=4):
    """Newton-Schulz iteration: the nearest matrix with singular values near one."""
    x = g.reshape(g.shape[0], -1)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).reshape(g.shape)


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buf = self.state[p].setdefault("m", torch.zeros_like(p))
                buf.lerp_(p.grad, 1 - group["momentum"])
                u = orthogonalise(p.grad.lerp(buf, group["momentum"]))
                p.add_(u, alpha=-group["lr"] * 0.2 * math.sqrt(max(p.shape[0], p[0].numel())))
