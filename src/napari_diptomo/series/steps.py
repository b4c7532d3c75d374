"""A step is data: one definition for form, command line, recipe and docs.

A step is a frozen pydantic model. Its fields, declared with `param`, carry
description, unit, range and default; `run` does the work. `Step.parameters`
hands that definition to whoever draws a form or a table from it.

A finished step appends itself to the recipe of its result, so every result
carries its provenance. One that was stopped early says there at which iteration,
and stops there again when the recipe is repeated. That is no parameter: no form
shows it, and a step made anew from a form runs to its end.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.observe import Observer, StopAt


def param(
    default: Any,
    description: str,
    *,
    unit: str = '',
    advanced: bool = False,
    **limits: Any,
) -> Any:
    """Declare a field of a step.

    Parameters
    ----------
    default : Any
        Value when nothing is given.
    description : str
        One sentence for the tooltip: what it does, and when to change it.
    unit : str
        Unit as printed behind the value, e.g. ``'nm'``.
    advanced : bool
        Hidden behind "More" in the form.
    **limits
        pydantic constraints: ``ge``, ``gt``, ``le``, ``lt``.
    """
    extra: Any = {'unit': unit, 'advanced': advanced}
    return Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass(frozen=True)
class Parameter:
    """One field of a step as a form or a table needs it."""

    name: str
    annotation: Any
    default: Any
    description: str
    unit: str
    advanced: bool
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]


class Step(BaseModel):
    """A stage of the work with its parameters.

    Subclasses set `title` and implement `_run`; `leading` names the parameters
    that users look for first.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')
    title: ClassVar[str] = ''
    leading: ClassVar[tuple[str, ...]] = ()
    _stopped_at: int | None = PrivateAttr(default=None)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence(type(self).__name__, error)) from None

    @property
    def stopped_at(self) -> int | None:
        """Iteration at which a run of this step was stopped by hand and its result kept; None: it ran to its end.

        Counted over all fits of a step that does several.
        """
        return self._stopped_at

    def stopping_at(self, iteration: int | None) -> Self:
        """This step, stopped by hand at an iteration; None: it runs to its end.

        Raises
        ------
        InputError
            Not a number of an iteration, from 1.
        """
        if iteration is not None and (type(iteration) is not int or iteration < 1):
            raise InputError(
                f'{type(self).__name__}: stopped_at is an iteration, from 1 (given: {iteration!r}); correct or remove it.'
            )
        step = self.model_copy()
        step._stopped_at = iteration
        return step

    def run(self, data: Any, observer: Observer | None = None) -> Any:
        """Do the work.

        Parameters
        ----------
        data : SpectralTiltSeries, MapSeries or Volume
            What the stage before it made.
        observer : Observer, optional
            Told of the progress, asked for pause, finish or cancel.

        Returns
        -------
        MapSeries or Volume
            The result; its ``recipe`` is that of ``data`` and this step.

        Raises
        ------
        DiptomoError
            One sentence on what cannot be done and what to do instead.
        Cancelled
            When the observer cancels.
        """
        talk = StopAt(observer, self.stopped_at)
        result = self._run(data, talk)
        if hasattr(result, 'findings'):
            result = replace(result, findings=_all_findings(data, result, _recipe_name(type(self))))
        if data.recipe is not None:
            result = replace(result, recipe=data.recipe.then(self.stopping_at(talk.stopped_early)))
        return result

    def _run(self, data: Any, observer: Observer | None) -> Any:
        raise TypeError(f'{type(self).__name__} does not say how it runs')

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The fields, those of `leading` first, else in order of declaration."""
        found = []
        for name, info in cls.model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            limits = {}
            for item in info.metadata:
                for key in ('ge', 'gt', 'le', 'lt'):
                    if getattr(item, key, None) is not None:
                        limits[key] = getattr(item, key)
            annotation = info.annotation
            found.append(
                Parameter(
                    name=name,
                    annotation=annotation,
                    default=info.get_default(call_default_factory=True),
                    description=info.description or '',
                    unit=str(extra.get('unit', '')),
                    advanced=bool(extra.get('advanced', False)),
                    minimum=limits.get('ge', limits.get('gt')),
                    maximum=limits.get('le', limits.get('lt')),
                    choices=get_args(annotation) if get_origin(annotation) is Literal else (),
                )
            )
        return tuple(sorted(found, key=lambda parameter: parameter.name not in getattr(cls, 'leading', ())))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: ``{'step': 'SIRT', 'iterations': 100, ...}``, and ``'stopped_at'`` where it was stopped by hand.

        A step from elsewhere is named ``'package.module:Class'``.
        """
        stopped = {} if self.stopped_at is None else {'stopped_at': self.stopped_at}
        return {'step': _recipe_name(type(self)), **self.model_dump(mode='json'), **stopped}


def step_from_dict(values: dict[str, Any]) -> Step:
    """The step that `Step.to_dict` wrote; unknown names and values are an `InputError`."""
    values = dict(values)
    name = values.pop('step', None)
    kind = step_kind(str(name))
    if kind is None:
        raise InputError(f'The recipe has a step {name!r} that this version does not know; correct its name.')
    stopped_at = values.pop('stopped_at', None)
    return kind(**values).stopping_at(stopped_at)


def step_kind(name: str) -> type[Step] | None:
    """The class of a step by its name in a recipe, None where this version has none of that name."""
    kind = _find(name)
    return kind if isinstance(kind, type) and issubclass(kind, Step) else None


def _all_findings(data: Any, result: Any, step: str) -> tuple[Finding, ...]:
    """Those of the input, and those of the result signed with the step that found them."""
    before: tuple[Finding, ...] = getattr(data, 'findings', ())
    own = (finding for finding in result.findings if finding not in before)
    return (*before, *(finding if finding.step else replace(finding, step=step) for finding in own))


def _recipe_name(kind: type[Step]) -> str:
    public = importlib.import_module('napari_diptomo')
    if kind.__name__ in public.__all__:
        return kind.__name__
    return f'{kind.__module__}:{kind.__qualname__}'


def _find(name: str) -> Any:
    """What a recipe means by a step's name, None where there is no such thing.

    A plain name is a public name of napari_diptomo, ``package.module:Class``
    an importable step from elsewhere. Nothing is evaluated: a recipe can name
    an installed class, it cannot carry code.
    """
    module, separator, attribute = name.rpartition(':')
    # Looking plain names up in the public package keeps this lowest package
    # free of imports from the stages above it.
    if not separator:
        return getattr(importlib.import_module('napari_diptomo'), name, None)
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except (ImportError, TypeError, ValueError):
        return None


def _sentence(step: str, error: ValidationError) -> str:
    first = error.errors()[0]
    where = '.'.join(str(part) for part in first['loc']) or 'values'
    what = first['msg'].removeprefix('Value error, ')
    given = first.get('input')
    shown = '' if isinstance(given, dict) else f' (given: {given!r})'
    return f'{step}: {where}: {what}{shown}; correct this parameter.'
