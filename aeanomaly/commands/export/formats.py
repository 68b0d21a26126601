"""The kinds of file that a graph is written to, and how each is opened again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.export import ExportedProgram

from aeanomaly.commands.export.graph import INPUT, quiet
from aeanomaly.errors import UserError

if TYPE_CHECKING:  # the extra `export`, which need not be installed
    import onnx

# From (B, C, H, W) images to (B,) each, by name of the output.
Judge: TypeAlias = Callable[[Tensor], dict[str, Tensor]]

_LARGEST = 2**31 - 2**24  # bytes of weights in a protobuf message, which leaves some for the operations
_METADATA = "aeanomaly.json"  # beside the graph in a .pt2 file


def save_onnx(program: ExportedProgram, outputs: Sequence[str], about: dict[str, Any], path: Path) -> None:
    """Write ONNX, with what is said ``about`` it as JSON among the metadata of the model.

    Raises:
        UserError: if it is larger than a file of ONNX can be, or has an operation that ONNX lacks.
    """
    size = sum(tensor.nbytes for tensor in [*program.state_dict.values(), *program.constants.values()])
    if size > _LARGEST:
        raise UserError(
            f"the graph holds {size / 2**30:.1f} GiB, and a file of ONNX at most 2: export with --format torch, name "
            "fewer --scores, or train with smaller banks (KNN: bank, size)"
        )
    from torch.onnx.errors import OnnxExporterError

    try:
        with quiet():
            # The optimiser takes a small number that is added for a zero, and 0 / 0 for a flat image is the end of it.
            made = torch.onnx.export(
                program, (), input_names=[INPUT], output_names=list(outputs), dynamo=True, optimize=False, verbose=False
            )
    except OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UserError(f"ONNX cannot express the graph: {' '.join(str(cause).split())[:200]}") from error
    assert made is not None
    made.model.metadata_props.update({key: json.dumps(value) for key, value in about.items()})
    path.write_bytes(_with_plain_casts(made.model_proto).SerializeToString())


def _with_plain_casts(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with Cast in the place of CastLike, of which ONNX Runtime complains whenever it opens a file.

    Torch's optimiser would do so. A CastLike whose type cannot be told beforehand stays.
    """
    from onnx import helper, shape_inference

    known = shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in [*known.value_info, *known.input]}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "CastLike" and (kind := types.get(node.input[1])):
            node.op_type = "Cast"
            del node.input[1:]
            node.attribute.append(helper.make_attribute("to", kind))
    return model


def open_onnx(path: Path) -> Judge:
    """What a file of ONNX computes, by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def judge(images: Tensor) -> dict[str, Tensor]:
        found = session.run(names, {INPUT: images.numpy()})
        return {name: torch.from_numpy(values) for name, values in zip(names, found, strict=True)}

    return judge


def save_torch(program: ExportedProgram, outputs: Sequence[str], about: dict[str, Any], path: Path) -> None:
    """Write a program of `torch.export`, with what is said ``about`` it as a file of JSON in the archive."""
    stream = io.BytesIO()  # by a path it warns of names that do not end in .pt2
    # It warns of weights whose channels lie last, which it saves as they are as long as they are on a CPU.
    with quiet():
        torch.export.save(program, stream, extra_files={_METADATA: json.dumps(about)})
    path.write_bytes(stream.getbuffer())


def open_torch(path: Path) -> Judge:
    """What a file of `torch.export` computes."""
    judge: Judge = torch.export.load(path).module()
    return judge
