r"""The arithmetic that the engine does for the model.

A language model guesses the next token, and a guess is a poor way to multiply. So it may write a calculation between
``<|python_start|>`` and ``<|python_end|>``, and :class:`nanochat.engine.Engine` puts the result behind it.

Whatever the model writes comes from the user in the end, so nothing here is ever run as a program. The text is looked
through for the few signs that a calculation has, then parsed, and each part of it must be on a short list. Numbers are
fractions, and so exact:

>>> calculate("0.1 + 0.2")
'0.3'
>>> calculate("(12 + 30) * 2 / 4")
'21'
>>> calculate("2 / 3")
'0.666666666666667'
>>> calculate('"strawberry".count("r")')
'3'

========================  ==============================================================================================
allowed                   meaning
========================  ==============================================================================================
``12`` ``0.5`` ``2e6``    numbers, with an exponent of one or two digits; no zeros in front
``+ - * /``               as on paper; ``1/3*3`` is 1
``//`` ``%``              division rounded down, and what it leaves: ``-7 // 2`` is -4, ``-7 % 2`` is 1
``( )``                   brackets, up to 32 deep
``"word".count("x")``     how often the second text stands in the first, without overlap; plain quotes, no backslash
========================  ==============================================================================================

All else is refused, powers and names too, and so is a number that is further from zero than 10^60 or nearer to it than
10^-60. There are no clocks, signals or locks here: it works the same in every thread.
"""

from __future__ import annotations

import ast
import operator
import re
from decimal import Context, Decimal
from fractions import Fraction

from nanochat.common import InputError

MAX_EXPRESSION = 256
"""The longest expression, in characters."""
MAX_BRACKETS = 32
"""The deepest nesting of brackets."""
LARGEST = 10**60
"""No number on the way may be larger; none but 0 may be smaller than 1 divided by it."""
DIGITS = 15
"""A result that is not whole is rounded to so many digits, not counting zeros in front."""

_NUMBER = r"(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]{1,2}+)?+(?![\w.])"
_TEXT = r"(?:\"[^\"\\\x00-\x1f\x7f]*+\"|'[^'\\\x00-\x1f\x7f]*+')"
# Each piece is possessive, so that no text makes the pattern try the same place twice.
_ALLOWED = re.compile(rf"(?>{_NUMBER}|{_TEXT}\.count\({_TEXT}\)|//|[-+*/%() ])*+")

_TWO = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ONE = {ast.UAdd: operator.pos, ast.USub: operator.neg}


class CalculatorError(InputError):
    """An expression that the calculator refuses; the message says why."""


def calculate(expression: str) -> str:
    """Compute an expression of the language above.

    Args:
        expression: At most 256 characters.

    Returns:
        The result, at most 64 characters. Whole numbers are exact, up to 60 digits; others are rounded to 15.
        Numbers of many zeros have an exponent, as in ``1.5e-20``. A result is itself an expression with that result.

    Raises:
        CalculatorError: If the expression is too long, is not of the language, divides by zero, or leaves the range of
            the numbers.

    Example:
        >>> calculate("7 * 6"), calculate("1 / 4"), calculate("-6 / 2")
        ('42', '0.25', '-3')

    Guide:
        "It has a short list of what is allowed, and refuses the rest." (nano/inference/tools)
    """
    if not isinstance(expression, str):
        raise CalculatorError(f"cannot calculate a {type(expression).__name__}: give text (str)")
    if len(expression) > MAX_EXPRESSION:
        raise CalculatorError(
            f"the expression has {len(expression)} characters, more than {MAX_EXPRESSION}: ask for one step at a time"
        )
    text = expression.strip(" ")
    depth = deepest = 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_BRACKETS:
        raise CalculatorError(f"brackets {deepest} deep are more than {MAX_BRACKETS}: ask for one step at a time")
    if not _ALLOWED.fullmatch(text):
        known = _ALLOWED.match(text)
        place = known.end() if known else 0
        raise CalculatorError(
            f"cannot read {text[place : place + 12]!r} in a calculation: use numbers, + - * / // % and brackets, "
            f'or "word".count("x")'
        )
    try:
        result = _Reader(text).value(ast.parse(text, mode="eval").body)
        return _written(result)
    except ZeroDivisionError:
        raise CalculatorError(f"{text!r} divides by zero, which has no result") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, CalculatorError):
            raise
        raise CalculatorError(f"{text!r} is not a complete calculation: write it as in (1 + 2) * 3") from None


class _Reader:
    """Computes the parts of one parsed expression, from the inside out; knows what is on the list and nothing else."""

    def __init__(self, text: str) -> None:
        self.source = text.encode("utf-8")  # the parser counts in bytes

    def value(self, node: ast.expr) -> Fraction:
        """Compute one part and hold it within the range of the numbers."""
        number = self._compute(node)
        if number and not Fraction(1, LARGEST) <= abs(number) <= LARGEST:
            raise CalculatorError("a number on the way is too large or too close to zero: stay within 1e60 and 1e-60")
        return number

    def _compute(self, node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int() | float()):
                # As it was written: a float in between would cost digits.
                return Fraction(self.source[node.col_offset : node.end_col_offset].decode("ascii"))
            case ast.BinOp(left, sign, right) if type(sign) in _TWO:
                return Fraction(_TWO[type(sign)](self.value(left), self.value(right)))
            case ast.UnaryOp(sign, operand) if type(sign) in _ONE:
                return Fraction(_ONE[type(sign)](self.value(operand)))
            case ast.Call(
                func=ast.Attribute(value=ast.Constant(value=str(text)), attr="count"),
                args=[ast.Constant(value=str(sought))],
                keywords=[],
            ) if sought:
                return Fraction(text.count(sought))
        raise CalculatorError('this is no calculation: use numbers, + - * / // % and brackets, or "word".count("x")')


def _written(number: Fraction) -> str:
    """Write a number as a person would: 3 and not 3.0, 0.3 and not 0.30000000000000004."""
    if number.denominator == 1:
        return str(number.numerator)
    rounded = Context(prec=DIGITS).divide(Decimal(number.numerator), Decimal(number.denominator)).normalize()
    if -7 <= rounded.adjusted() < DIGITS:
        return f"{rounded:f}"
    return str(rounded).lower().replace("e+", "e")
