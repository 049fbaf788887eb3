"""The encoder as an ONNX graph, written operator by operator with the fused kernels of ONNX Runtime's CPU.

Word vectors stay in the 4 bits that they have in the pretrained file. Matrices: `int8` (stored in 8 bits, unfolded to fp32 once when a session starts:
activations are never rounded, so that a text's score does not depend on its neighbours in a batch), `int4` (blocks of 32, activations rounded row by row), or `fp32`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Weights = Literal["int8", "int4", "fp32"]
MS = "com.microsoft"


class Graph:
    """Collects nodes and weights."""

    def __init__(self, weights: Weights) -> None:
        self.weights, self.nodes, self.tensors, self.n = weights, [], [], 0

    def tensor(self, name: str, value: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str | None = None, domain: str = "", **attributes: object) -> str:
        self.n += 1
        output = output or f"{kind}_{self.n}"
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, name=f"{kind}_{self.n}", **attributes))
        return output

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray, weights: Weights | None = None) -> str:
        """x @ weight.T + bias, where weight is (n_out, n_in) as torch keeps it."""
        weights = weights or self.weights
        b = self.tensor(f"{name}.b", bias.astype(np.float32))
        if weights == "int4":
            n, k = weight.shape
            q, scale = quantise_blocks(weight)
            inputs = [x, self.tensor(f"{name}.q", q.reshape(n, k // 32, 16)), self.tensor(f"{name}.s", scale.reshape(n, k // 32)), "", "", b]
            return self.op("MatMulNBits", inputs, domain=MS, K=k, N=n, bits=4, block_size=32, accuracy_level=4)
        if weights == "int8":
            scale = np.maximum(np.abs(weight).max(1), 1e-8).astype(np.float32) / 127
            q = self.tensor(f"{name}.q", np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8).T)
            matrix = self.op("Mul", [self.op("Cast", [q], to=TensorProto.FLOAT), self.tensor(f"{name}.s", scale)])
        else:
            matrix = self.tensor(f"{name}.w", weight.T.astype(np.float32))
        return self.op("Add", [self.op("MatMul", [x, matrix]), b])


def quantise_blocks(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) -> nibbles, low first, (n, k / 2) uint8, and scales (n, k / 32); value = (nibble - 8) * scale, scale chosen for the least squared error."""
    blocks = weight.reshape(-1, 32).astype(np.float32)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)[:, 0]
    best, error = np.zeros(len(blocks), np.float32), np.full(len(blocks), np.inf, np.float32)
    for factor in np.linspace(0.75, 1.05, 13):
        scale = extreme / -8 * factor
        safe = np.where(scale == 0, 1, scale)[:, None]
        e = ((np.clip(np.rint(blocks / safe), -8, 7) * safe - blocks) ** 2).sum(1)
        best, error = np.where(e < error, safe[:, 0], best).astype(np.float32), np.minimum(e, error)
    q = (np.clip(np.rint(blocks / best[:, None]), -8, 7) + 8).astype(np.uint8)
    return (q[:, 0::2] | (q[:, 1::2] << 4)).reshape(weight.shape[0], -1), best.reshape(weight.shape[0], -1)


def word_vectors(raw: np.ndarray, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pretrained 4-bit file -> (n, hidden / 2) nibbles, even column low, and (n, hidden / 32) scales."""
    blocks = raw.reshape(-1, 18)
    scale = blocks[:, :2].copy().view("<f2")[:, 0].astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1)  # (n_blocks, 32), column order
    signed = (nibbles.astype(np.int8) - 8).astype(np.uint8) & 15
    packed = signed[:, 0::2] | (signed[:, 1::2] << 4)
    return packed.reshape(-1, hidden // 2), scale.reshape(-1, hidden // 32)


def encoder(
    state: dict[str, np.ndarray], words: np.ndarray, *, layers: int, heads: int, epsilon: float, weights: Weights | list[Weights], outputs: dict[str, tuple[np.ndarray, np.ndarray]]
) -> onnx.ModelProto:
    """The whole model: `input_ids`, `attention_mask` (n_texts, n_tokens) -> one (n_texts, n) for each of `outputs` (weight, bias), over the mean beside the first token,
    and `pooled`, these two themselves (n_texts, 2 * hidden): what heads of other languages are fitted on.

    Args:
        state: the body's tensors under transformers' names.
        words: raw rows of the kept word vectors, 18 bytes a block.
        layers: how many.
        heads: attention heads.
        epsilon: of layer normalisation.
        weights: for all matrices, or one choice a layer.
        outputs: name -> (weight (n, 2 * hidden), bias (n,)).
    """
    hidden = state["embeddings.LayerNorm.weight"].shape[0]
    choice: list[Weights] = weights if isinstance(weights, list) else [weights] * layers
    g = Graph(choice[0])
    data, scale = word_vectors(words, hidden)
    int4 = helper.make_tensor("words.q", TensorProto.INT4, [len(scale), hidden], data.tobytes(), raw=True)
    g.tensors.append(int4)
    g.tensor("words.s", scale.astype(np.float16))
    gathered = g.op("GatherBlockQuantized", ["words.q", "input_ids", "words.s"], domain=MS, block_size=32, gather_axis=0, quantize_axis=1)
    x = g.op("Cast", [gathered], to=TensorProto.FLOAT)
    positions = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    length = g.op("Gather", [g.op("Shape", ["input_ids"]), g.tensor("one", np.array([1], np.int64))])
    zero = g.tensor("zero", np.array([0], np.int64))
    position = g.op("Slice", [g.tensor("positions", positions.astype(np.float32)), zero, length, zero])
    x = g.op("Add", [x, position])
    x = g.op("LayerNormalization", [x, g.tensor("emb.g", state["embeddings.LayerNorm.weight"]), g.tensor("emb.beta", state["embeddings.LayerNorm.bias"])], epsilon=epsilon, axis=-1)
    mask = g.op("Cast", ["attention_mask"], to=TensorProto.INT32)
    for i in range(layers):
        g.weights = choice[i]
        p = f"encoder.layer.{i}."

        def part(name: str, p: str = p) -> tuple[np.ndarray, np.ndarray]:
            return state[f"{p}{name}.weight"], state[f"{p}{name}.bias"]

        q, k, v = (g.linear(x, f"l{i}.{n[0]}", *part(f"attention.self.{n}")) for n in ("query", "key", "value"))
        attended = g.op("MultiHeadAttention", [q, k, v, "", mask], domain=MS, num_heads=heads)
        projected = g.linear(attended, f"l{i}.ao", *part("attention.output.dense"))
        gain, shift = part("attention.output.LayerNorm")
        x = g.op("SkipLayerNormalization", [projected, x, g.tensor(f"l{i}.g1", gain), g.tensor(f"l{i}.b1", shift)], domain=MS, epsilon=epsilon)
        wide = g.op("Gelu", [g.linear(x, f"l{i}.fi", *part("intermediate.dense"))], domain=MS)
        narrow = g.linear(wide, f"l{i}.fo", *part("output.dense"))
        gain, shift = part("output.LayerNorm")
        x = g.op("SkipLayerNormalization", [narrow, x, g.tensor(f"l{i}.g2", gain), g.tensor(f"l{i}.b2", shift)], domain=MS, epsilon=epsilon)
    m = g.op("Unsqueeze", [g.op("Cast", ["attention_mask"], to=TensorProto.FLOAT), g.tensor("minus_one", np.array([-1], np.int64))])
    mean = g.op("Div", [g.op("ReduceSum", [g.op("Mul", [x, m]), "one"], keepdims=0), g.op("ReduceSum", [m, "one"], keepdims=0)])
    first = g.op("Squeeze", [g.op("Slice", [x, zero, "one", "one"]), "one"])
    pooled = g.op("Concat", [mean, first], "pooled", axis=1)
    for name, (weight, bias) in outputs.items():
        g.op("Gemm", [pooled, g.tensor(f"{name}.w", weight.astype(np.float32)), g.tensor(f"{name}.bias", bias.astype(np.float32))], name, transB=1)
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["texts", "tokens"]) for n in ("input_ids", "attention_mask")]
    widths = {**{n: len(b) for n, (_, b) in outputs.items()}, "pooled": 2 * hidden}
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["texts", width]) for n, width in widths.items()]
    graph = helper.make_graph(g.nodes, "ipu_moderation", inputs, results, g.tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MS, 1)], ir_version=10)


def shrink(model: onnx.ModelProto, least: int = 1024) -> onnx.ModelProto:
    """Store the matrices of a traced graph in 8 bits: a row of word vectors is unfolded when it is looked up, other matrices once when a session starts.

    Args:
        model: with float32 weights; it is changed.
        least: numbers that a matrix must hold.
    """
    users: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            users.setdefault(name, []).append((node, at))
    before: list[onnx.NodeProto] = []
    replaced: dict[int, list[onnx.NodeProto]] = {}
    kept = []
    for tensor in model.graph.initializer:
        used = users.get(tensor.name, [])
        looked_up = all(node.op_type == "Gather" and at == 0 and all(a.i == 0 for a in node.attribute if a.name == "axis") for node, at in used)
        multiplied = all(node.op_type == "MatMul" and at == 1 for node, at in used)
        if not used or tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2 or np.prod(tensor.dims) < least or not (looked_up or multiplied):
            kept.append(tensor)
            continue
        value = numpy_helper.to_array(tensor)
        scale = (np.maximum(np.abs(value).max(1 if looked_up else 0, keepdims=True), 1e-8) / 127).astype(np.float32)
        q, s, unfolded = f"{tensor.name}.q", f"{tensor.name}.s", f"{tensor.name}.unfolded"
        kept += [numpy_helper.from_array(np.clip(np.rint(value / scale), -127, 127).astype(np.int8), q), numpy_helper.from_array(scale, s)]
        if multiplied:
            before += [helper.make_node("Cast", [q], [f"{q}.f"], to=TensorProto.FLOAT), helper.make_node("Mul", [f"{q}.f", s], [unfolded])]
            for node, at in used:
                node.input[at] = unfolded
        else:
            for node, _ in used:
                out, rows = node.output[0], node.input[1]
                parts = [helper.make_node("Gather", [q, rows], [f"{out}.q"], axis=0), helper.make_node("Gather", [s, rows], [f"{out}.s"], axis=0)]
                parts += [helper.make_node("Cast", [f"{out}.q"], [f"{out}.f"], to=TensorProto.FLOAT), helper.make_node("Mul", [f"{out}.f", f"{out}.s"], [out])]
                replaced[id(node)] = parts
    nodes = [*before, *(new for node in model.graph.node for new in replaced.get(id(node), [node]))]
    graph = helper.make_graph(nodes, model.graph.name, model.graph.input, model.graph.output, kept)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


LARGE = 1_900_000_000
"""Bytes of weights in one file; ONNX allows 2 GB, beyond which they lie beside it."""


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check and write; weights that are too large for one file go to `PATH.data`."""
    beside = path.with_name(path.name + ".data")
    beside.unlink(missing_ok=True)
    large = sum(len(t.raw_data) for t in model.graph.initializer) > LARGE
    if not large:
        onnx.checker.check_model(model)
    onnx.save(model, str(path), save_as_external_data=large, location=beside.name)
    if large:
        onnx.checker.check_model(str(path))
