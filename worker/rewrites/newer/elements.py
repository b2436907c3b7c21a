"""What is done with each number, as mindspore.mint makes it."""

import math
from typing import Any

from mindspore_serving.worker.rewrites.file_constants import BOOL
from mindspore_serving.worker.rewrites.graph_file import GraphFile
from mindspore_serving.worker.rewrites.kernel_nodes import float_value
from mindspore_serving.worker.rewrites.newer.spelling import Given, Rule, Spelling, alike, first_item, number
from mindspore_serving.worker.rewrites.values import Value

_HALF_OF_ROOT_OF_TWO = 2.0**-0.5
_MOST_OF_RELU6 = 6.0


def _gelu(graph: GraphFile, node: Any) -> bool:
    """x, and how: 0, by the error function; 1, by tanh."""
    value, how = alike(graph, node), graph.constant(node.input[1])
    if value is None or how not in (0, 1) or isinstance(how, bool):
        return False
    spelling, x = Spelling(graph, node), node.input[0]
    if how == 1:
        spelling.make("GeLU", [x], value)
        return spelling.put()
    share = spelling.make("Erf", [spelling.make("Mul", [x, _HALF_OF_ROOT_OF_TWO], value)], value)
    both = spelling.make("Mul", [x, spelling.make("Add", [share, 1.0], value)], value)
    spelling.make("Mul", [both, 0.5], value)
    return spelling.put()


def _between(graph: GraphFile, node: Any) -> bool:
    """x, the least, or None, and the most."""
    value = alike(graph, node)
    least, most = [number(graph, name) for name in node.input[1:3]]
    told = [graph.constant(name) is not None for name in node.input[1:3]]
    if value is None or told != [least is not None, most is not None] or not any(told):
        return False
    spelling, made = Spelling(graph, node), node.input[0]
    if (least, most) == (0.0, _MOST_OF_RELU6):
        spelling.make("ReLU6", [made], value)
        return spelling.put()
    if least == 0.0:
        made = spelling.make("ReLU", [made], value)
    elif least is not None:
        made = spelling.make("Maximum", [made, least], value)
    if most is not None:
        spelling.make("Minimum", [made, most], value)
    return spelling.put()


def _elu(graph: GraphFile, node: Any) -> bool:
    """x, and what the exponential is taken times."""
    value, alpha = alike(graph, node), number(graph, node.input[1])
    if value is None or alpha is None:
        return False
    if alpha != 1.0:
        return _linear_and_exponential(graph, node, 1.0, alpha)
    spelling = Spelling(graph, node)
    spelling.make("Elu", node.input[:2], value)
    return spelling.put()


def _linear_and_exponential(graph: GraphFile, node: Any, above: float, below: float, per: float = 1.0) -> bool:
    """Times x where that is above 0; elsewhere e to the power of x, of which 1 is taken away."""
    value = alike(graph, node)
    if value is None:
        return False
    spelling, x = Spelling(graph, node), node.input[0]
    power = spelling.make("Minimum", [x, 0.0], value)
    if per != 1.0:
        power = spelling.make("Mul", [power, 1 / per], value)
    grown = spelling.make("Sub", [spelling.make("Exp", [power], value), 1.0], value)
    line = spelling.make("ReLU", [x], value)
    if above != 1.0:
        line = spelling.make("Mul", [line, above], value)
    spelling.make("Add", [line, spelling.make("Mul", [grown, below], value)], value)
    return spelling.put()


def _selu(graph: GraphFile, node: Any) -> bool:
    """Klambauer et al. 2017, "Self-Normalizing Neural Networks", equation 2."""
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return _linear_and_exponential(graph, node, scale, scale * alpha)


def _celu(graph: GraphFile, node: Any) -> bool:
    """x, and what it is divided by in the power."""
    alpha = number(graph, node.input[1])
    return alpha is not None and alpha > 0 and _linear_and_exponential(graph, node, 1.0, alpha, alpha)


def _fast_gelu(graph: GraphFile, node: Any) -> bool:
    """x / (1 + e^-1.702|x|) e^(0.851 (x - |x|)), which is x times the sigmoid of 1.702 x."""
    value = alike(graph, node)
    if value is None:
        return False
    spelling, x = Spelling(graph, node), node.input[0]
    share = spelling.make("Sigmoid", [spelling.make("Mul", [x, 1.702], value)], value)
    spelling.make("Mul", [x, share], value)
    return spelling.put()


def _leaky(graph: GraphFile, node: Any) -> bool:
    """x, and what is left of it below 0, in parts of it."""
    value, share = alike(graph, node), number(graph, node.input[1])
    if value is None or share is None or not 0 <= share <= 1:
        return False
    spelling, x = Spelling(graph, node), node.input[0]
    if share == 0:  # of an infinity, too
        spelling.make("ReLU", [x], value)
    else:
        spelling.make("Maximum", [spelling.make("Mul", [x, share], value), x], value)
    return spelling.put()


def _softplus(graph: GraphFile, node: Any) -> bool:
    """x, beta, and from where on beta * x is the same: log(1 + exp(beta * x)) / beta."""
    value, (beta, threshold) = alike(graph, node), [number(graph, name) for name in node.input[1:3]]
    if value is None or beta is None or threshold is None or beta <= 0:
        return False
    spelling, x = Spelling(graph, node), node.input[0]
    scaled = x if beta == 1 else spelling.make("Mul", [x, beta], value)
    soft = spelling.make("Softplus", [scaled], value)
    if beta != 1:
        soft = spelling.make("Mul", [soft, 1 / beta], value)
    is_straight = spelling.make("Greater", [scaled, threshold], Value(BOOL, value.shape))
    spelling.make("Select", [is_straight, x, soft], value)
    return spelling.put()


def _log_sigmoid(graph: GraphFile, node: Any) -> bool:
    """Of several values the first: min(x, 0) - log(1 + exp(-|x|)), which does not overflow."""
    item, value = first_item(graph, node), float_value(graph, node.input[0])
    if item is None or value is None:
        return False
    spelling, x = Spelling(graph, node, item), node.input[0]
    far = spelling.make("Exp", [spelling.make("Neg", [spelling.make("Abs", [x], value)], value)], value)
    log = spelling.make("Log", [spelling.make("Add", [far, 1.0], value)], value)
    spelling.make("Sub", [spelling.make("Minimum", [x, 0.0], value), log], value)
    return spelling.put()


def _logarithm(base: float) -> Rule:
    def spell(graph: GraphFile, node: Any) -> bool:
        return _made_of(graph, node, ("Log", []), ("Mul", [1 / math.log(base)]))

    return spell


def _older(op: str) -> Rule:
    """One of another name, of x alone."""
    return lambda graph, node: _made_of(graph, node, (op, []))


def _made_of(graph: GraphFile, node: Any, *steps: tuple[str, list[Given]]) -> bool:
    """One operator behind the other, each with what it is given besides."""
    value = alike(graph, node)
    if value is None:
        return False
    spelling, made = Spelling(graph, node), node.input[0]
    for op, others in steps:
        made = spelling.make(op, [made, *others], value)
    return spelling.put()


def _power(graph: GraphFile, node: Any) -> bool:
    """x, and a number."""
    exponent = number(graph, node.input[1])
    known: dict[float, list[tuple[str, list[Given]]]] = {
        0.5: [("Sqrt", [])],
        -0.5: [("Rsqrt", [])],
        -1.0: [("Reciprocal", [])],
        2.0: [("Square", [])],
    }
    if exponent is None:
        return False
    return _made_of(graph, node, *known.get(exponent, [("Pow", [exponent])]))


def _by_a_number(op: str) -> Rule:
    """x, the number, and how often it is taken."""

    def spell(graph: GraphFile, node: Any) -> bool:
        what, times = [number(graph, name) for name in node.input[1:3]]
        return what is not None and times is not None and _made_of(graph, node, (op, [what * times]))

    return spell


def _reciprocal(graph: GraphFile, node: Any) -> bool:
    value = alike(graph, node)
    if value is None:
        return False
    spelling = Spelling(graph, node)
    spelling.make("Div", [1.0, node.input[0]], value)
    return spelling.put()


MISSING = {
    "GeluExt": _gelu,
    "Hardtanh": _between,
    "EluExt": _elu,
    "SeLUExt": _older("SeLU"),
    "MishExt": _older("Mish"),
    "LeakyReLUExt": _leaky,
    "SoftplusExt": _softplus,
    "LogSigmoid": _log_sigmoid,
    "Log2": _logarithm(2.0),
    "Log10": _logarithm(10.0),
}
SLOW = {
    "ClampScalar": _between,
    "PowTensorScalar": _power,
    "AddScalar": _by_a_number("Add"),
    "SubScalar": _by_a_number("Sub"),
    "Reciprocal": _reciprocal,
    "SeLU": _selu,
    "CeLU": _celu,
    "FastGeLU": _fast_gelu,
}
