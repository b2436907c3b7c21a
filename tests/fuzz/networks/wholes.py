"""Makers of lines of whole numbers and truths: what is counted, compared, ranked, looked up, and decided by that."""

from collections.abc import Callable

from tests.fuzz.networks.sketch import Rejected, Sketch, Value

_WHOLE = ("int32", "int64")
_COMPARED = ("{} > {}", "{} >= {}", "{} < {}", "{} <= {}", "{} == {}", "{} != {}")
_KINDS = ("ms.float32", "ms.int32", "ms.int64", "ms.uint8", "ms.bool_", "ms.float16")


def ranked(sketch: Sketch) -> Value:
    """Where the largest or the least are, or what they are too."""
    x = sketch.pick(least=2)
    axis = sketch.chance.choice((-1, sketch.chance.randint(x.own, x.rank - 1)))
    count = sketch.chance.randint(1, min(5, x.shape[axis]))
    pairs = [f"ops.topk({{0}}, {count}, {axis})", f"ops.topk({{0}}, {count}, {axis}, largest=False)"]
    pairs += [f"ops.sort({{0}}, {axis})", f"ops.max({{0}}, {axis})", f"ops.min({{0}}, {axis}, True)"]
    pairs += [f"mint.topk({{0}}, {count}, {axis})", f"ops.ArgMaxWithValue({axis})({{0}})"]
    places = [f"ops.argmax({{0}}, {axis})", f"ops.argmin({{0}}, {axis}, True)", f"{{0}}.argmax({axis})"]
    places += [f"ops.argmax({{0}}, {axis}, True)", f"mint.argmax({{0}}, {axis})", f"ops.argsort({{0}}, {axis})"]
    if sketch.maybe():
        return sketch.add(sketch.chance.choice(places), x)
    return sketch.several(sketch.chance.choice(pairs), 2, x)[sketch.chance.choice((0, 1))]


def rounded(sketch: Sketch) -> Value:
    """Whole numbers of others; the way there is not the same for all of them."""
    x = sketch.pick(least=1)
    forms = ("ops.cast(ops.floor({0}), ms.int32)", "ops.cast({0} * 3.0, ms.int32)", "ops.cast({0} * 5.0, ms.int64)")
    return sketch.add(sketch.chance.choice(forms), x)


def counted(sketch: Sketch) -> Value:
    x = sketch.pick(least=1, kinds=_WHOLE)
    forms = [
        "{0} + 1",
        "{0} * 2 - 3",
        "{0} % 3",
        "{0} // 2",
        "-{0}",
        "ops.abs({0})",
        "ops.maximum({0}, 1)",
        "{0} * {0}",
    ]
    forms += [
        "5 - {0}",
        "{0} + {0}",
        "{0}.sum(-1)",
        "ops.cast({0}, ms.int64) + 1",
        "ops.cast({0}, ms.int32) * 3",
        "{0} / 2",
    ]
    forms += ["{0} * 0.5", "{0} + ops.cast({0} > 1, {0}.dtype)", "ops.square({0})", "ops.relu({0})", "{0}.max(-1)"]
    return sketch.add(sketch.chance.choice(forms), x)


def as_another(sketch: Sketch) -> Value:
    """A cast, of whatever kind."""
    x = sketch.pick(kinds=(*_WHOLE, "bool", "uint8", "float32", "int8"))
    kinds = _KINDS if x.array.dtype.kind != "f" else ("ms.bool_", "ms.float32", "ms.float16", "ms.float64")
    return sketch.add(f"ops.cast({{0}}, {sketch.chance.choice(kinds)})", x)


def compared(sketch: Sketch) -> Value:
    """Truths, of numbers of any kind."""
    x = sketch.pick(least=1, kinds=("float32", "float32", *_WHOLE))
    other = sketch.chance.choice(("0.3", "0", "1", "{0} * {0}", "{0}.max(-1, keepdims=True)", "{1}"))
    fits = [one for one in sketch.values if one.shape == x.shape and one.array.dtype == x.array.dtype]
    formula = sketch.chance.choice(_COMPARED).format("{0}", other)
    return sketch.add(formula, x, sketch.chance.choice(fits))


def of_truths(sketch: Sketch) -> Value:
    """What logic makes of truths, and what they decide."""
    truths = sketch.pick(least=1, kinds=("bool",))
    fits = [one for one in sketch.values if one.shape == truths.shape and one.has_instances == truths.has_instances]
    alike = [one for one in fits if one.array.dtype == truths.array.dtype]
    numbers = [one for one in fits if one.array.dtype.name == "float32"]
    if numbers and sketch.maybe(0.6):
        forms = ["ops.where({0}, {1}, 0.5)", "ops.where({0}, -1.0, {1})", "ops.where({0}, {1}, -{1})"]
        forms += ["ops.masked_fill({1}, {0}, -2.0)", "{1} * {0}", "{1} * ops.cast({0}, ms.float32)", "{1} + {0}"]
        forms += ["ops.select({0}, {1}, {1} * 2.0)", "ops.masked_fill({1}, ops.logical_not({0}), 1.5)"]
        return sketch.add(sketch.chance.choice(forms), truths, sketch.chance.choice(numbers))
    forms = ["ops.logical_and({0}, {1})", "ops.logical_or({0}, {1})", "ops.logical_not({0})", "{0} & {1}", "{0} | {1}"]
    forms += ["ops.logical_xor({0}, {1})", "{0}.any(-1)", "{0}.all(-1, keep_dims=True)", "{0} == {1}", "~{0}"]
    forms += ["ops.cast({0} | ops.logical_not({1}), ms.float32)", "ops.cast({0}, ms.int32) + ops.cast({1}, ms.int32)"]
    return sketch.add(sketch.chance.choice(forms), truths, sketch.chance.choice(alike))


def looked_up_again(sketch: Sketch) -> Value:
    """Rows of a table, by numbers that are computed; or numbers as rows."""
    x, rows = sketch.pick(least=1, kinds=_WHOLE), sketch.chance.choice((1, 3, 7))
    if sketch.maybe(0.3):
        return sketch.add(f"ops.one_hot({{0}} % {rows + 2}, {rows}, ms.Tensor(1.0), ms.Tensor(0.0))", x)
    if x.array.size > 4000:
        raise Rejected
    if sketch.maybe():
        return sketch.add(f"{sketch.layer(f'nn.Embedding({rows}, {sketch.size(9)})')}({{0}} % {rows})", x)
    table, axis = sketch.parameter(rows, sketch.size(9)), sketch.chance.choice((0, 0, 1))
    size = rows if axis == 0 else 1
    forms = (f"ops.gather({table}, {{0}} % {size}, {axis})", f"{table}[{{0}} % {rows}]")
    return sketch.add(sketch.chance.choice(forms), x)


def picked(sketch: Sketch) -> Value:
    """Places of a value, that are fixed or computed."""
    x = sketch.pick(least=2)
    axis = sketch.chance.randint(x.own, x.rank - 1)
    size = x.shape[axis]
    places = [sketch.chance.randrange(size) for _ in range(sketch.chance.choice((1, 2, 5)))]
    told = f"ms.Tensor({places}, ms.{sketch.chance.choice(_WHOLE)})"
    forms = [f"ops.gather({{0}}, {told}, {axis})", f"mint.index_select({{0}}, {axis}, {told})"]
    forms += [f"ops.gather_elements({{0}}, {axis}, ops.argsort({{0}}, {axis}))"]
    if axis == 1:
        forms += [f"{{0}}[:, {told}]", f"ops.gather({{0}}, ms.Tensor({places[0]}, ms.int32), 1)"]
    return sketch.add(sketch.chance.choice(forms), x)


def decided(sketch: Sketch) -> Value:
    """A branch, or a loop, that depends on numbers."""
    x, name = sketch.pick(least=1), sketch.new_name()
    forms = sketch.chance.sample(("{} * 2.0", "ops.relu({})", "-{}", "ops.tanh({}) + {}", "ops.softmax({}, -1)"), 2)
    one, other = [form.replace("{}", x.name) for form in forms]
    asked = sketch.chance.choice((f"{x.name}.sum() > 0", f"{x.name}.max() < 1.0", f"ops.abs({x.name}).mean() >= 0.5"))
    text = f"if {asked}:\n    {name} = {one}\nelse:\n    {name} = {other}"
    if sketch.maybe(0.3):
        text = f"{name} = {x.name}\nwhile {name}.max() > 1.0:\n    {name} = {name} * 0.5 - 0.1"
    return sketch.statements(text, [name], (x,), x.has_instances)[0]


WHOLES: dict[Callable[[Sketch], Value], int] = {
    ranked: 2,
    rounded: 1,
    counted: 2,
    as_another: 1,
    compared: 2,
    of_truths: 2,
    looked_up_again: 2,
    picked: 1,
    decided: 1,
}
