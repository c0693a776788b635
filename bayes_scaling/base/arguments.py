"""Arguments of public functions, checked against their annotations before anything is computed.

One mechanism and one sentence: ``seed is '0' (str); expected a whole number from 0 to 2**32 - 1``. What an annotation
cannot say, such as a range that depends on other arguments, the function itself checks. Nothing is converted, but for
whole numbers beyond 64 bits: FLOPs may be written as ``10**24``, which numpy has only as a float.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

import numpy as np
from numpy.typing import ArrayLike

from bayes_scaling.base.messages import encodable, plain, shown
from bayes_scaling.errors import ArgumentError

LARGEST_WHOLE = 2**63 - 1
MOST_SIZED = 10_000  # items of a list that are looked at
MOST_BYTES_OF_PATH = 4096  # on Linux
MOST_BYTES = 255  # of one name in a path


@dataclasses.dataclass(frozen=True)
class Expected:
    """What an annotated argument must also be: ``Annotated[int, Expected(is_seed, "a whole number ...")]``.

    Attributes
    ----------
    holds : whether a value of the right type is right
    words : what was expected
    """

    holds: Callable[[Any], bool]
    words: str


def _of_other_locale(value: str) -> bool:
    """Return whether it is text in UTF-8 that a locale without it, such as C, spelled in halves of characters."""
    try:
        os.fsencode(value).decode()
    except UnicodeError:
        return False
    return True


def _is_path(value: str | Path) -> bool:
    try:
        path = os.fsencode(value)
    except UnicodeEncodeError:
        return False
    names = path.replace(b"\\", b"/").split(b"/")
    return (
        bool(path)
        and b"\0" not in path
        and len(path) < MOST_BYTES_OF_PATH
        and all(len(one) <= MOST_BYTES for one in names)
    )


type Seed = Annotated[int, Expected(lambda value: 0 <= value < 2**32, "a whole number from 0 to 2**32 - 1")]
"""A seed of random numbers."""

type FilePath = Annotated[str | Path, Expected(_is_path, "the path of a file or a folder")]
"""A path that the file system can have."""


type Numeric = ArrayLike
"""A number or an array of numbers; an alias, because a union would take ``ArrayLike`` apart, into text among others."""


@dataclasses.dataclass(frozen=True)
class Misfit:
    """An argument, or a part of one, that is not what was expected.

    Attributes
    ----------
    place : the argument, with the key or the place in it
    value, words : what came, and what was expected
    """

    place: str
    value: Any
    words: str

    def __str__(self) -> str:
        return f"{self.place} is {came(self.value)}; expected {self.words}"


def validated[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Refuse arguments that do not fit the annotations of a function; below ``@classmethod`` and ``@staticmethod``.

    Raises
    ------
    ArgumentError
        When the function is called, for the first argument that does not fit.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        signature, hints = _annotated(function)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # too many arguments, or too few: Python says so below
            given = {}
        for name, value in given.items():
            for misfit in _misfits(value, hints.get(name, Any), name, signature.parameters[name].kind):
                raise ArgumentError(str(misfit))
        sized: Any = (tuple(map(_sized, args)), {name: _sized(value) for name, value in kwargs.items()})
        return function(*sized[0], **sized[1])

    return call


def check_fields(instance: Any) -> None:
    """Refuse a dataclass with a field that does not fit its annotation; for ``__post_init__``."""
    for name, hint in _fields(type(instance)):  # type: ignore[arg-type]  # a class can be hashed
        value = getattr(instance, name)
        if misfit := misfit_of(value, hint, name):
            raise ArgumentError(str(misfit))
        if (sized := _sized(value)) is not value:
            object.__setattr__(instance, name, sized)


@functools.cache
def _annotated(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return the signature of a function and its annotations; the return's may need imports made for types only."""
    signature = inspect.signature(function)
    known = getattr(function, "__globals__", {})
    found = {p.name: p.annotation for p in signature.parameters.values() if p.annotation is not p.empty}
    return signature, {name: _evaluated(hint, known) for name, hint in found.items()}


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    known = vars(inspect.getmodule(kind))
    return tuple((field.name, _evaluated(field.type, known)) for field in dataclasses.fields(kind) if field.init)


def _evaluated(hint: Any, known: Mapping[str, Any]) -> Any:
    return eval(hint, dict(known)) if isinstance(hint, str) else hint


def _misfits(value: Any, hint: Any, name: str, kind: Any) -> Iterator[Misfit]:
    """Yield what does not fit of one parameter, which may stand for several arguments."""
    if kind is inspect.Parameter.VAR_POSITIONAL:
        found = [misfit_of(one, hint, f"{name}[{i}]") for i, one in enumerate(value)]
    elif kind is inspect.Parameter.VAR_KEYWORD:
        allowed = _of_typed_dict(hint)
        unknown = [key for key in value if allowed is not None and key not in allowed]
        if allowed is not None and unknown:
            raise ArgumentError(f"there is no option {plain(unknown[0])}; options are {', '.join(allowed)}")
        found = [misfit_of(one, hint if allowed is None else allowed[key], key) for key, one in value.items()]
    else:
        found = [misfit_of(value, hint, name)]
    yield from (misfit for misfit in found if misfit is not None)


def _of_typed_dict(hint: Any) -> dict[str, Any] | None:
    """Return the options that ``**options: Unpack[...]`` takes; None for another annotation."""
    if get_origin(hint) is not typing.Unpack:
        return None
    return typing.get_type_hints(get_args(hint)[0], include_extras=True)


def _sized(value: Any) -> Any:
    """Return whole numbers that numpy cannot hold as floats, also those in lists and dicts."""
    kind = type(value)
    if kind is int and abs(value) > LARGEST_WHOLE:
        return float(value) if abs(value) < 10**300 else value
    if kind is dict:
        items = {key: _sized(item) for key, item in value.items()}
        return items if any(items[key] is not value[key] for key in value) else value
    if kind in (list, tuple) and len(value) < MOST_SIZED:
        several = kind(map(_sized, value))
        return several if any(a is not b for a, b in zip(several, value, strict=True)) else value
    return value


# --- values ----------------------------------------------------------------------------------------------------------


def misfit_of(value: Any, hint: Any, place: str) -> Misfit | None:
    """Return what does not fit of a value; None where all does."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is FilePath and isinstance(value, str) and _of_other_locale(value):
        return misfit_of(Path(value), hint, place)
    if isinstance(value, str) and not encodable(value):
        return Misfit(place, value, "text that can be written to a file: this has half of a character")
    if hint is Any or isinstance(hint, typing.TypeVar):
        return None
    if hint is ArrayLike or hint is np.ndarray:
        fits = _are_numbers(value) and (hint is ArrayLike or np.ndim(value) > 0)
        return None if fits else Misfit(place, value, words_for(hint))
    if isinstance(hint, TypeAliasType):
        return misfit_of(value, hint.__value__, place)
    if origin is Annotated:
        wrong = misfit_of(value, inner[0], place)
        more = [one for one in inner[1:] if isinstance(one, Expected)]
        failed = [one for one in more if wrong is None and not one.holds(value)]
        return Misfit(place, value, (failed or more)[0].words) if failed or (wrong and more) else wrong
    if origin in (Union, types.UnionType):
        return _of_union(value, inner, place)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](value, inner, place)
    return None if _is_a(value, origin or hint) else Misfit(place, value, words_for(hint))


def _of_union(value: Any, choices: tuple[Any, ...], place: str) -> Misfit | None:
    found = [misfit_of(value, choice, place) for choice in choices]
    if None in found:
        return None
    deeper = [misfit for misfit in found if misfit is not None and misfit.place != place]
    return deeper[0] if deeper else Misfit(place, value, _any_of(choices))


def _of_items(value: Any, inner: tuple[Any, ...], place: str) -> Misfit | None:
    """Check a list: of Python, of numpy or of pandas, but no text."""
    listed = isinstance(value, collections.abc.Sequence) and not isinstance(value, str | bytes | bytearray)
    if not listed and getattr(value, "ndim", None) != 1:
        return Misfit(place, value, words_for(collections.abc.Sequence[inner[0]]))  # type: ignore[valid-type]
    found = (misfit_of(item, inner[0], f"{place}[{i}]") for i, item in enumerate(value))
    return next((misfit for misfit in found if misfit), None)


def _of_tuple(value: Any, inner: tuple[Any, ...], place: str) -> Misfit | None:
    if inner[-1] is Ellipsis:
        return _of_items(value, inner, place)
    if not isinstance(value, tuple | list) or len(value) != len(inner):
        return Misfit(place, value, f"{len(inner)} values, each {words_for(inner[0])}")
    found = (misfit_of(item, hint, f"{place}[{i}]") for i, (item, hint) in enumerate(zip(value, inner, strict=True)))
    return next((misfit for misfit in found if misfit), None)


def _of_mapping(value: Any, inner: tuple[Any, ...], place: str) -> Misfit | None:
    if not isinstance(value, Mapping):
        return Misfit(place, value, words_for(Mapping[inner[0], inner[1]]))  # type: ignore[valid-type]
    for key, item in value.items():
        if wrong := misfit_of(key, inner[0], f"a key of {place}") or misfit_of(
            item, inner[1], f"{place}[{shown(key)}]"
        ):
            return wrong
    return None


def _of_callable(value: Any, inner: tuple[Any, ...], place: str) -> Misfit | None:
    return None if callable(value) else Misfit(place, value, "a function")


def _of_literal(value: Any, inner: tuple[Any, ...], place: str) -> Misfit | None:
    # Which words are known is said by the function, in words of its own.
    fits = any(type(value) is type(one) for one in inner)
    return None if fits else Misfit(place, value, words_for(Literal[inner]))


_CONTAINERS: Mapping[Any, Callable[[Any, tuple[Any, ...], str], Misfit | None]] = {
    collections.abc.Sequence: _of_items,
    collections.abc.Iterable: _of_items,
    list: _of_items,
    tuple: _of_tuple,
    collections.abc.Mapping: _of_mapping,
    dict: _of_mapping,
    collections.abc.Callable: _of_callable,
    Literal: _of_literal,
}


def _is_a(value: Any, kind: Any) -> bool:
    """Say whether a value is of a plain type: no True for a number, no NaN, whole numbers of at most 63 bits."""
    if kind is None or kind is type(None):
        return value is None
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if kind is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) <= LARGEST_WHOLE
    if kind is float:
        return _is_number(value)
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in kind.__protocol_attrs__)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _is_number(value: Any) -> bool:
    if getattr(value, "ndim", None) == 0 and getattr(getattr(value, "dtype", None), "kind", "") in "iuf":
        value = value.item()  # a scalar of numpy or of JAX
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return not math.isnan(float(value))
    except OverflowError:  # an integer of hundreds of digits
        return False


def _are_numbers(value: Any) -> bool:
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and not any(item is None for item in array.flat):
            array = array.astype(float)
    except (TypeError, ValueError, OverflowError):  # ragged lists, missing values, integers of hundreds of digits
        return False
    return array.dtype.kind in "iuf"


# --- words -----------------------------------------------------------------------------------------------------------

_WORDS: Mapping[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "the path of a file or a folder",
    type(None): "None",
}


def words_for(hint: Any) -> str:
    """Return in words what an annotation asks for; a class may say it in ``EXPECTED``."""
    if hint is ArrayLike:
        return "a number or an array of numbers"
    if hint is np.ndarray:
        return "an array of numbers"
    origin, inner = get_origin(hint), get_args(hint)
    if isinstance(hint, TypeAliasType):
        return words_for(hint.__value__)
    if origin is Annotated:
        return next((one.words for one in inner[1:] if isinstance(one, Expected)), words_for(inner[0]))
    if origin in (Union, types.UnionType):
        return _any_of(inner)
    if origin is Literal:
        return _either(map(shown, inner))
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"{len(inner)} values, each {words_for(inner[0])}"
    if origin in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
        return f"a list, each {words_for(inner[0])}" if inner[0] is not Any else "a list"
    if origin in (collections.abc.Mapping, dict):
        return f"a dict from {words_for(inner[0])} to {words_for(inner[1])}" if inner[1] is not Any else "a dict"
    if hint is Any:
        return "anything"
    if origin is collections.abc.Callable:
        return "a function"
    said: str | None = getattr(hint, "EXPECTED", None) or _WORDS.get(hint)
    package = getattr(hint, "__module__", "").partition(".")[0]
    owner = f"{package} " if package in ("numpyro", "pandas") else ""
    return said or _article(f"{owner}{getattr(hint, '__name__', str(hint))}")


def came(value: Any) -> str:
    """Return in words what came: ``'0' (str)``, ``None``, ``a DataFrame``."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, str | bytes | numbers.Number | np.generic):
        return f"{shown(value, 40)} ({kind})"
    if isinstance(value, list | tuple | dict | set) and len(text := shown(value, 60)) < 60:
        return text
    return _article(kind)


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def _any_of(choices: tuple[Any, ...]) -> str:
    """Return the words of a union, without None: who has nothing to give leaves the argument out."""
    words: list[str] = []
    for choice in choices:
        while isinstance(choice, TypeAliasType) and choice is not ArrayLike:
            choice = choice.__value__
        if get_origin(choice) is Literal:
            words += map(shown, get_args(choice))
        elif choice is not type(None):
            words.append(words_for(choice))
    return _either(words)


def _either(words: collections.abc.Iterable[str]) -> str:
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last
