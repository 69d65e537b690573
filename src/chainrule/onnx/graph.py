"""Construction of ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import InputError, UsageError

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 9  # of the same age as the opsets, for older runtimes


class Graph:
    """An ONNX graph under construction: nodes and constants, each result with a new name."""

    def __init__(self, columns: Sequence[str]) -> None:
        try:
            import onnx
        except ImportError as error:
            raise UsageError("ONNX export needs the package onnx: pip install 'chainrule[onnx]'") from error
        self.onnx: Any = onnx
        self.prefix = "/" * (1 + max(len(name) - len(name.lstrip("/")) for name in columns))  # occurs in no column name
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, dtype: Any, *shape: Any) -> str:
        self.inputs.append(self._typed(name, dtype, shape))
        return name

    def output(self, name: str, result: str, dtype: Any, *shape: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node("Identity", [result], [name]))
        self.outputs.append(self._typed(name, dtype, shape))

    def constant(self, value: Any, dtype: Any = None) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        name = f"{self.prefix}{operator}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def cast(self, x: str, dtype: Any) -> str:
        return self("Cast", x, to=self._type(dtype))

    def zero_if_missing(self, values: str, result: str) -> str:
        return self("Where", self("IsNaN", values), self.constant(0, np.float64), result)

    def model(self) -> Any:
        helper = self.onnx.helper
        names = [value.name for value in (*self.inputs, *self.outputs)]
        taken = next((name for name in names if names.count(name) > 1), None)
        if taken:
            raise InputError(
                f"the column {taken!r} has the name of an output of the ONNX file; rename it before training"
            )
        graph = helper.make_graph(self.nodes, "chainrule", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        whole = helper.make_model(graph, opset_imports=opsets, producer_name="chainrule", ir_version=IR_VERSION)
        self.onnx.checker.check_model(whole, full_check=True)
        return whole

    def _typed(self, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._type(dtype), list(shape))

    def _type(self, dtype: Any) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
