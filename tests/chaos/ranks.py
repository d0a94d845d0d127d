"""What each rank of a two-rank `accelerate launch` runs in the test: it joins the others over gloo,
says who it is, and trains until it is ended; SIGTERM does not impress it."""

import os
import signal
import sys
from pathlib import Path

import torch
from accelerate import Accelerator

signal.signal(signal.SIGTERM, signal.SIG_IGN)
accelerator = Accelerator(cpu=True)
model = accelerator.prepare(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
step = 0
while True:
    loss = model(torch.randn(8, 4)).square().mean()
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    step += 1
    if step == 2:
        mine = Path(sys.argv[1], str(accelerator.process_index))
        mine.with_suffix(".aside").write_text(str(os.getpid()))
        mine.with_suffix(".aside").rename(mine)
