"""A device that this machine does not have, to find tensors that are made on the wrong one.

A ``Pretend`` tensor says that it lies on "cuda" and keeps its values on the CPU, where every operation
is really done; so, unlike with torch's fake tensors, results whose size depends on values are right. An
operation that is given an ordinary tensor beside a pretended one fails, as it would on a GPU. Forward
only: torch's own backward functions make tensors that this class does not see.
"""

import torch
from torch.utils._pytree import tree_flatten, tree_map


class Pretend(torch.Tensor):
    """A tensor on the device that is not there."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(
            cls, values.shape, dtype=values.dtype, device="meta",
            strides=values.stride(), storage_offset=values.storage_offset(),
        )  # fmt: skip

    def __init__(self, values):
        self.values_on_cpu = values.detach()

    @property
    def device(self):
        return torch.device("cuda")  # torch itself is told "meta": for "cuda" it would want a driver

    def tolist(self):
        return self.values_on_cpu.tolist()  # torch has none for subclasses

    def __repr__(self):
        return f"Pretend({self.values_on_cpu})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        strangers = [x for x in tensors if not isinstance(x, Pretend) and x.ndim > 0]
        if strangers:
            raise AssertionError(f"{function}: a tensor of shape {tuple(strangers[0].shape)} lies on the CPU")
        if "device" in kwargs and torch.device(kwargs["device"]).type == "cuda":
            kwargs = {**kwargs, "device": "cpu"}
        plain = tree_map(lambda x: x.values_on_cpu if isinstance(x, Pretend) else x, (args, kwargs))
        result = function(*plain[0], **plain[1])
        if function._schema.is_mutable:
            return args[0]  # in-place: the pretended tensor itself
        return tree_map(lambda x: Pretend(x) if isinstance(x, torch.Tensor) else x, result)
