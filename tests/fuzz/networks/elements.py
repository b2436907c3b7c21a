"""Makers of lines without weights that keep numbers where they are, or reduce some of them to one."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value

_OF_ONE = (
    *("ops.relu({0})", "nn.ReLU()({0})", "ops.relu6({0})", "ops.sigmoid({0})", "ops.silu({0})", "ops.hardsigmoid({0})"),
    *(
        "ops.hardswish({0})",
        "ops.gelu({0}, approximate='none')",
        "ops.gelu({0}, approximate='tanh')",
        "ops.GeLU()({0})",
    ),
    *("ops.tanh({0})", "ops.elu({0})", "ops.leaky_relu({0}, 0.1)", "ops.sin({0})", "ops.cos({0})", "ops.erf({0})"),
    *("ops.exp(ops.clamp({0}, -3.0, 1.5))", "ops.sqrt(ops.abs({0}) + 0.1)", "ops.rsqrt({0} * {0} + 0.5)"),
    *("ops.square({0})", "ops.neg({0})", "-{0}", "ops.abs({0})", "ops.softplus({0})", "ops.mish({0})", "{0} ** 2"),
    *("ops.log(ops.abs({0}) + 1.0)", "ops.pow({0}, 2)", "ops.pow({0}, 3)", "(ops.abs({0}) + 0.1) ** 0.5"),
    *("ops.pow(ops.relu({0}) + 0.5, -0.5)", "1.0 - {0}", "{0} + 0.5", "{0} / 3.0", "2.0 / (ops.abs({0}) + 1.0)"),
    *(
        "ops.clamp({0}, -1.0, 1.0)",
        "ops.maximum({0}, 0.1)",
        "ops.minimum({0}, {0} * {0})",
        "mint.add({0}, {0}, alpha=2)",
    ),
    *("mint.nn.functional.relu({0})", "mint.nn.functional.gelu({0})", "mint.nn.functional.silu({0})", "mint.tanh({0})"),
    *("ops.elu({0}, 0.5)", "ops.where({0} > 0.0, {0}, {0} * 0.3)", "ops.cast({0}, ms.float32)", "ops.logsigmoid({0})"),
    *("{0} * ops.sigmoid({0} * 1.702)", "ops.reciprocal(ops.abs({0}) + 0.5)", "ops.ones_like({0}) + {0}"),
    *("{0} * ops.cast({0} > 0.0, ms.float32)", "{0} + ops.cast({0} != {0}, ms.float32)"),
    *(
        "{0} * ops.cast(ops.logical_and({0} >= 0.0, ops.logical_not({0} == 0.0)), ms.float32)",
        "ops.masked_fill({0}, ({0} <= 0.0) | ({0} < -1.0), 0.0)",
    ),
)
_OF_TWO = (
    *("{0} + {1}", "{0} + {1}", "{0} - {1}", "{0} * {1}", "ops.add({0}, {1})", "{0} / (ops.abs({1}) + 1.0)"),
    *(
        "ops.maximum({0}, {1})",
        "ops.minimum({0}, {1})",
        "mint.add({0}, {1})",
        "mint.sub({0}, {1})",
        "mint.mul({0}, {1})",
    ),
    "ops.cast({0} > {1}, ms.float32) * ({0} - {1})",
    *("ops.relu({0} + {1})", "ops.relu6({0} + {1})", "ops.tanh({0}) * ops.sigmoid({1})", "ops.relu({0} * {1})"),
)


def of_one(sketch: Sketch) -> Value:
    return sketch.add(sketch.chance.choice(_OF_ONE), sketch.pick())


def several_of_one(sketch: Sketch) -> Value:
    """One behind the other."""
    x = sketch.pick()
    for _ in range(sketch.chance.randint(2, 4)):
        x = sketch.scaled(sketch.add(sketch.chance.choice(_OF_ONE), x))
    return x


def of_two(sketch: Sketch) -> Value:
    """Of which one may be repeated for the other."""
    x = sketch.pick(least=1)
    others = [value for value in sketch.values if value.name != x.name and _fit(x, value)]
    if not others:
        raise Rejected
    other = sketch.chance.choice(others)
    pair = (x, other) if sketch.maybe() else (other, x)
    return sketch.add(sketch.chance.choice(_OF_TWO), *pair, has_instances=x.has_instances or other.has_instances)


def with_parameter(sketch: Sketch) -> Value:
    """Of a value and weights that are repeated along some axes."""
    x = sketch.pick(least=1)
    shape = [1 if sketch.maybe() else size for size in x.shape[x.own :]]
    weights = sketch.parameter(*shape[sketch.chance.randint(0, max(0, len(shape) - 1)) :])
    formula = sketch.chance.choice(_OF_TWO).replace("{1}", weights)
    if sketch.maybe(0.3):
        formula = formula.replace("{0}", "{1}").replace(weights, "{0}").replace("{1}", weights)
    return sketch.add(formula, x)


def with_part(sketch: Sketch) -> Value:
    """Of a value and a part, or a reduction, of it, which is repeated."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    cut = ", ".join(":1" if place == axis else ":" for place in range(x.rank))
    other = sketch.chance.choice((f"{{0}}[{cut}]", f"{{0}}.mean({axis}, True)", f"ops.amax({{0}}, {axis}, True)"))
    return sketch.add(sketch.chance.choice(_OF_TWO).replace("{1}", other), x)


def in_place(sketch: Sketch) -> Value:
    """x += y, x *= y and the like. Nobody else has x, whose memory it may be."""
    fresh = [value for value in sketch.values if value.name[0] == "v" and not sketch.uses(value) and value.rank]
    if not fresh:
        raise Rejected
    x = fresh[-1]
    others = [value for value in sketch.values if value.name != x.name and _fits(value.shape, x.shape)]
    name, operator = sketch.new_name(), sketch.chance.choice(("+=", "*=", "-=", "+="))
    if not others or sketch.maybe(0.2):
        [made] = sketch.statements(f"{name} = {x.name}\n{name} {operator} 0.5", [name], (x,), x.has_instances)
    else:
        other = sketch.chance.choice(others)
        if other.has_instances and not x.has_instances:
            raise Rejected
        text = f"{name} = {x.name}\n{name} {operator} {other.name}"
        [made] = sketch.statements(text, [name], (x, other), x.has_instances)
    sketch.retire(x)
    return made


def softmax(sketch: Sketch) -> Value:
    x = sketch.pick(least=1)
    axis = sketch.chance.choice((-1, sketch.chance.randint(x.own, max(x.own, x.rank - 1))))
    formula = sketch.chance.choice(("ops.softmax({{0}}, {})", "ops.softmax({{0}}, {})", "ops.log_softmax({{0}}, {})"))
    return sketch.add(formula.format(axis), x)


def reduced(sketch: Sketch) -> Value:
    x = sketch.pick(least=2)
    axes = sorted(sketch.chance.sample(range(x.own, x.rank), sketch.chance.randint(1, x.rank - x.own)))
    if sketch.maybe():
        axes = [axis - x.rank for axis in axes]
    told, keep = axes[0] if len(axes) == 1 else tuple(axes), sketch.maybe()
    kinds = [
        "{{0}}.mean({}, {})",
        "ops.mean({{0}}, {}, {})",
        "{{0}}.sum({}, keepdims={})",
        "ops.ReduceSum({1})({{0}}, {0})",
    ]
    kinds += [
        "ops.amax({{0}}, {}, {})",
        "ops.amin({{0}}, {}, {})",
        "mint.mean({{0}}, {}, {})",
        "mint.sum({{0}}, {}, {})",
    ]
    kinds += ["ops.ReduceMax({1})({{0}}, {0})", "ops.ReduceProd({1})(ops.tanh({{0}}) + 1.0, {0})"]
    if len(axes) == 1:
        kinds += ["{{0}}.max({}, {})", "{{0}}.min({}, keepdims={})", "ops.ArgMaxWithValue({}, {})({{0}})[1]"]
        kinds += ["ops.var({{0}}, {}, keepdims={})", "ops.logsumexp({{0}}, {}, {})", "ops.norm({{0}}, 2, {}, {})"]
    return sketch.add(sketch.chance.choice(kinds).format(told, keep), x)


def normed(sketch: Sketch) -> Value:
    """A norm that is written by hand."""
    x = sketch.pick(least=2)
    if sketch.maybe():
        return sketch.add("{0} * ops.rsqrt(ops.square({0}).mean(-1, keep_dims=True) + 1e-2)", x)
    return sketch.add("({0} - {0}.mean(-1, True)) / ops.sqrt(ops.var({0}, -1, keepdims=True) + 1e-1)", x)


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    """Whether one can be repeated to become as large."""
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(size in (1, other) for size, other in pairs)


def _fit(one: Value, other: Value) -> bool:
    """Whether they can be repeated for each other, and instances stay apart."""
    with_instances = [value.rank for value in (one, other) if value.has_instances]
    pairs = zip(reversed(one.shape), reversed(other.shape), strict=False)
    return all(rank == max(one.rank, other.rank) for rank in with_instances) and all(
        1 in pair or pair[0] == pair[1] for pair in pairs
    )


ELEMENTS: dict[Callable[[Sketch], Value], int] = {
    of_one: 5,
    several_of_one: 2,
    of_two: 7,
    with_parameter: 2,
    with_part: 2,
    in_place: 2,
    softmax: 2,
    reduced: 3,
    normed: 1,
}
