"""Is a condition of an AnalysisTemplate true for this result?

Argo writes its conditions in expr-lang. Here they are parsed by a grammar and walked, with a bound on the work done:
nothing is evaluated by Python itself, and no text can take long or raise anything but the two errors named here.

>>> compile_condition("result[0] >= 0.95").evaluate([0.97])
True
>>> compile_condition("len(result) == 0 || result[0] < 0.01").evaluate([])
True

Where Argo's documentation and code differ, the code is followed: `default(x, y)` and `isNil(x)` look at `result`,
whatever their first argument is (utils/evaluate/evaluate.go: defaultFunc, isNilFunc).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from zdsim.analysis.condition_syntax import ConditionError, parse
from zdsim.analysis.condition_tree import Node, children
from zdsim.analysis.condition_types import EvaluationError, Value, check, check_literals, type_of
from zdsim.analysis.condition_values import Walk, describe

__all__ = ["Condition", "ConditionError", "EvaluationError", "Value", "compile_condition", "eval_condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that could be read. Two with the same text are equal."""

    text: str
    _tree: Node = field(repr=False, compare=False)

    def evaluate(self, result: Value) -> bool:
        """Whether the condition holds for `result`.

        NaN compares false with everything, so a lone successCondition fails on it; guard with `isNaN(result)`.

        Args:
            result: what was measured; None when the provider found nothing. A list of numbers is a vector.

        Raises:
            EvaluationError: types that cannot go together, an index out of range, something looked up in nil, an
                answer that is not true or false, or more work than is allowed.

        Source:
            argo-rollouts utils/evaluate/evaluate.go: EvalCondition.
        """
        try:
            check(self._tree, type_of(result))
            answer = Walk(result).value(self._tree)
        except RecursionError:
            raise EvaluationError("the condition or its result is nested too deeply") from None
        except (OverflowError, ValueError):  # whole numbers far beyond the 64 bits that a provider can answer
            raise EvaluationError("the result holds a number that fits in no 64 bits") from None
        if not isinstance(answer, bool):
            raise EvaluationError(
                f"the condition gives {describe(answer)}", None, "it must be true or false: compare it with something"
            )
        return answer

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=512)
def compile_condition(text: str) -> Condition:
    """The condition written as `text`.

    Raises:
        ConditionError: with the column, what was found and what is allowed.

    Source:
        expr-lang parser/parser.go: Parse; argo-rollouts utils/evaluate/evaluate.go: EvalCondition (the names known).
    """
    tree = parse(text)
    todo = [tree]
    while todo:
        node = todo.pop()
        check_literals(node)
        todo.extend(child for child, _ in children(node))
    return Condition(text, tree)


def eval_condition(result: Value, condition: str) -> bool:
    """Compile and evaluate at once; argo-rollouts utils/evaluate/evaluate.go: EvalCondition.

    Raises:
        ConditionError, EvaluationError: as `compile_condition` and `Condition.evaluate`.
    """
    return compile_condition(condition).evaluate(result)
