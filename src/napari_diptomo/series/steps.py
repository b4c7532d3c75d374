"""A step is data: one definition for form, command line, recipe and docs.

A step is a frozen pydantic model. Its fields, declared with `param`, carry
description, unit, range and default; `run` does the work. `Step.parameters`
hands that definition to whoever draws a form or a table from it.

A finished step appends itself to the recipe of its result, so every result
carries its provenance. One that was stopped early says there at which iteration,
and stops there again when the recipe is repeated. That is no parameter: no form
shows it, and a step made anew from a form runs to its end.

In a recipe a step is a name and its values. Reading one imports nothing but
this program: a name that it does not have stays an `UnknownStep`, whether a
package registers it or nobody knows it, until the recipe is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from napari_diptomo.series import step_names
from napari_diptomo.series.errors import InputError
from napari_diptomo.series.findings import Finding
from napari_diptomo.series.observe import Observer, StopAt
from napari_diptomo.series.progress_bar import progress_bar

#: What goes from step to step, in words.
_FLOW = {'SpectralTiltSeries': 'a tilt series of spectra', 'MapSeries': 'maps', 'Volume': 'a volume'}


def param(
    default: Any,
    description: str,
    *,
    label: str = '',
    unit: str = '',
    advanced: bool = False,
    file: bool = False,
    typical: float | None = None,
    **limits: Any,
) -> Any:
    """Declare a field of a step.

    Parameters
    ----------
    default : Any
        Value when nothing is given.
    description : str
        One sentence for the tooltip: what it does, and when to change it.
    label : str
        Shown in front of the control; empty: the name of the field in words.
    unit : str
        Unit as printed behind the value, e.g. ``'nm'``.
    advanced : bool
        Hidden behind "More" in the form.
    file : bool
        The text names a file to read, or several do: recipes keep it relative to themselves.
    typical : float, optional
        Of a number that may be left empty: what a form proposes to whoever wants to give it.
    **limits : float
        pydantic constraints: ``ge``, ``gt``, ``le``, ``lt``.

    Returns
    -------
    pydantic.fields.FieldInfo
        The field; typed as anything, so that it can stand behind any annotation.
    """
    extra: Any = {'label': label, 'unit': unit, 'advanced': advanced, 'file': file, 'typical': typical}
    return Field(default, description=description, json_schema_extra=extra, **limits)


@dataclass(frozen=True)
class Parameter:
    """One field of a step as a form or a table needs it.

    Attributes
    ----------
    name : str
        As in the recipe.
    annotation : type
        What it can be.
    default : Any
        Value when nothing is given.
    description : str
        One sentence: what it does, and when to change it.
    label : str
        In front of the control; empty: the name in words.
    unit : str
        As printed behind the value; empty where there is none.
    advanced : bool
        Hidden behind "More" in the form.
    minimum, maximum : float, optional
        Limits, in the unit.
    choices : tuple
        The values of a choice; empty for other kinds.
    file : bool
        Whether it names a file to read.
    typical : float, optional
        What a form proposes where the number may be left empty.
    """

    name: str
    annotation: Any
    default: Any
    description: str
    label: str
    unit: str
    advanced: bool
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    file: bool = False
    typical: float | None = None

    @property
    def suffix(self) -> str:
        """The unit as it stands behind a number: ``'°'``, ``' nm'``, nothing where there is none."""
        return self.unit if self.unit in ('', '°') else f' {self.unit}'


class Step(BaseModel):
    """A stage of the work with its parameters.

    Subclasses set `title` and implement `_run`; `leading` names the parameters
    that users look for first, `superseded` what findings of the input are
    about that no longer hold. `parameters` lists the fields with description,
    unit and range.

    Raises
    ------
    InputError
        A parameter out of range or unknown; the text names it.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')
    title: ClassVar[str] = ''
    leading: ClassVar[tuple[str, ...]] = ()
    superseded: ClassVar[tuple[str, ...]] = ()
    _stopped_at: int | None = PrivateAttr(default=None)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(validation_sentence(type(self).__name__, error)) from None

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

    def run(self, data: Any, observer: Observer | None = None, *, progress: bool | None = None) -> Any:
        """Do the work.

        Parameters
        ----------
        data : SpectralTiltSeries, MapSeries or Volume
            What the stage before it made.
        observer : Observer, optional
            Notified of the progress, asked for pause, finish or cancel.
        progress : bool, optional
            Without an observer: show a bar, and a line on what was found; default: in terminals and notebooks, see
            `napari_diptomo.series.progress_bar`.

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
        self.check_input(data)
        bar = progress_bar(progress) if observer is None else None
        if bar is None:
            return self._done(data, observer)
        with bar:
            result = self._done(data, bar)
            bar.say_found(self.title or type(self).__name__, new_findings(data, result))
        return result

    def _done(self, data: Any, observer: Observer | None) -> Any:
        """The result with its findings and the recipe by which it was made."""
        talk = StopAt(observer, self.stopped_at)
        result = self._run(data, talk)
        if hasattr(result, 'findings'):
            result = replace(
                result, findings=_all_findings(data, result, step_names.name_of(type(self)), self.superseded)
            )
        if data.recipe is not None:
            result = replace(result, recipe=data.recipe.then(self.stopping_at(talk.stopped_early)))
        return result

    def check_input(self, data: Any) -> None:
        """Say which stage is missing before this one.

        Parameters
        ----------
        data : SpectralTiltSeries, MapSeries or Volume
            What would be handed to `run`.

        Raises
        ------
        InputError
            The step works on something else.
        """
        try:
            hints = get_type_hints(type(self)._run)
        except NameError:  # annotations that only a type checker can resolve
            return
        wanted = hints.get(list(signature(type(self)._run).parameters)[1])
        name = getattr(wanted, '__name__', '')
        if not isinstance(wanted, type) or name not in _FLOW or isinstance(data, wanted):
            return
        given = _FLOW.get(type(data).__name__, type(data).__name__)
        needed = {'MapSeries': 'EDXMaps', 'Volume': 'SIRT or DIPmTV'}.get(name)
        advice = f'put {needed} before it' if needed else 'make it the first step'
        raise InputError(f'{type(self).__name__} needs {_FLOW[name]} but is handed {given}; {advice}.')

    def _run(self, data: Any, observer: Observer | None) -> Any:
        raise TypeError(f'{type(self).__name__} does not say how it runs')

    @classmethod
    def parameters(cls) -> tuple[Parameter, ...]:
        """The fields, those of `leading` first, else in order of declaration.

        Returns
        -------
        tuple of Parameter
            One for each field.
        """
        found = []
        for name, info in cls.model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            limits = {}
            for item in info.metadata:
                for key in ('ge', 'gt', 'le', 'lt'):
                    if getattr(item, key, None) is not None:
                        limits[key] = getattr(item, key)
            annotation, typical = info.annotation, extra.get('typical')
            unit = str(extra.get('unit', ''))
            found.append(
                Parameter(
                    name=name,
                    annotation=annotation,
                    default=info.get_default(call_default_factory=True),
                    description=info.description or '',
                    label=str(extra.get('label', '')),
                    unit={'deg': '°'}.get(unit, unit),
                    advanced=bool(extra.get('advanced', False)),
                    file=bool(extra.get('file', False)),
                    typical=float(typical) if isinstance(typical, int | float) else None,
                    minimum=limits.get('ge', limits.get('gt')),
                    maximum=limits.get('le', limits.get('lt')),
                    choices=get_args(annotation) if get_origin(annotation) is Literal else (),
                )
            )
        return tuple(sorted(found, key=lambda parameter: parameter.name not in getattr(cls, 'leading', ())))

    def to_dict(self) -> dict[str, Any]:
        """The step as values that JSON has; a step of another package is named as that package registers it.

        Returns
        -------
        dict
            ``{'step': 'SIRT', 'iterations': 100, ...}``, and ``'stopped_at'`` where it was stopped by hand.
        """
        stopped = {} if self.stopped_at is None else {'stopped_at': self.stopped_at}
        return {'step': step_names.name_of(type(self)), **self.model_dump(mode='json'), **stopped}


@dataclass(frozen=True)
class UnknownStep:
    """A step of a recipe as text: its class has not been looked for, or there is none here.

    Equal to the step that writes the same text.

    Parameters
    ----------
    name : str
        As in the recipe.
    values : mapping
        Its parameters, JSON-ready.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name, for want of the class that has a title."""
        return self.name

    @property
    def stopped_at(self) -> Any:
        """The iteration at which it was stopped by hand, as the recipe says."""
        return self.values.get('stopped_at')

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, UnknownStep | Step) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.name)

    def to_dict(self) -> dict[str, Any]:
        """The step as it was read.

        Returns
        -------
        dict
            ``step``, its name, and the parameters.
        """
        return {'step': self.name, **deepcopy(dict(self.values))}

    def resolved(self) -> Step:
        """The step, for running it: only here a package that registers it is imported.

        Raises
        ------
        InputError
            No installed package registers the name, or a parameter is out of range.
        """
        own = step_kind(self.name)
        if own is not None:
            return _made(own, self.values)
        found = step_names.registered(self.name)
        if found is None:
            raise InputError(
                f'The recipe has a step {self.name!r} that this version does not know; correct its name, or install '
                f'the package that registers it (entry point {step_names.GROUP}).'
            )
        kind = step_names.load(found)
        if not _is_step(kind):
            raise InputError(f'{self.name!r}, registered by an installed package, is no step; remove that package.')
        return _made(kind, self.values)


def read_step(values: Any, *, embedded: bool = False) -> Step | UnknownStep:
    """The step that `Step.to_dict` wrote; one that is not of this program stays text and nothing is imported.

    Parameters
    ----------
    values : mapping
    embedded : bool
        The recipe came with data, which shall open whatever it says: a step of this program with parameters that it
        does not take stays text too.

    Raises
    ------
    InputError
        No step, or a parameter of a known one out of range.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get('step'), str):
        raise InputError('The recipe has a step without a name; give each its {"step": name}.')
    values = dict(values)
    name = values.pop('step')
    kind = step_kind(name)
    if kind is None:
        return UnknownStep(name, values)
    try:
        return _made(kind, values)
    except InputError:
        if embedded:
            return UnknownStep(name, values)
        raise


def step_from_dict(values: Mapping[str, Any]) -> Step:
    """The step that `Step.to_dict` wrote, ready to run.

    Parameters
    ----------
    values : mapping
        ``step``, its name, and the parameters; those left out have their defaults.

    Returns
    -------
    Step
        Equal to the one that was written.

    Raises
    ------
    InputError
        No step of this name, or a parameter out of range.
    """
    step = read_step({**values, 'step': str(values.get('step'))})
    return step.resolved() if isinstance(step, UnknownStep) else step


def step_kind(name: str) -> type[Step] | None:
    """The class of a step of this program by its name, None where it has none of that name."""
    kind = step_names.public(name)
    return kind if _is_step(kind) else None


def _made(kind: type[Step], values: Mapping[str, Any]) -> Step:
    """The step with these values, stopping where it was stopped."""
    values = dict(values)
    stopped_at = values.pop('stopped_at', None)
    return kind(**values).stopping_at(stopped_at)


def _is_step(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Step)


def new_findings(data: Any, result: Any) -> tuple[Finding, ...]:
    """The findings of a result that its input did not have.

    Parameters
    ----------
    data, result : SpectralTiltSeries, MapSeries or Volume
        What a step was handed, and what it made of it.

    Returns
    -------
    tuple of Finding
        In the order in which they were found.
    """
    before = getattr(data, 'findings', ())
    return tuple(finding for finding in getattr(result, 'findings', ()) if finding not in before)


def _all_findings(data: Any, result: Any, step: str, superseded: tuple[str, ...]) -> tuple[Finding, ...]:
    """Those of the input that still hold, and those of the result signed with the step that found them."""
    before: tuple[Finding, ...] = getattr(data, 'findings', ())
    before = tuple(finding for finding in before if finding.about.casefold() not in superseded)
    own = tuple(finding for finding in getattr(result, 'findings', ()) if finding not in before)
    return (*before, *(finding if finding.step else replace(finding, step=step) for finding in own))


def validation_sentence(step: str, error: ValidationError) -> str:
    """The first thing that pydantic found wrong with the values of a step or source, as a sentence."""
    first = error.errors()[0]
    where = '.'.join(str(part) for part in first['loc']) or 'values'
    what = first['msg'].removeprefix('Value error, ')
    given = first.get('input')
    shown = '' if isinstance(given, dict) else f' (given: {given!r})'
    return f'{step}: {where}: {what}{shown}; correct this parameter.'
