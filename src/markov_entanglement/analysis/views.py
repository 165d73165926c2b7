"""What should an agent see? Several views of the same data: what each leaves unexplained, and which parts are worth it.

A view shows some of the parts that local states are made of. Nothing of the data changes, only what a local pair is:
E_i is Eq. 7 with keys x_i of the view, given all that is known of the joint pair; errors are those of local values
learned on these keys, against the same Q. The smaller E_i need not belong to the better view: where rewards hang on
what is hidden, steps may depend less on others and values be wrong all the same. So views are ranked by what the sum of
local values leaves of the spread of Q, `unexplained`, beside its floor, what the best sum of functions of x_i leaves.

A view that does best on some data looks better there than it is. Parts are therefore chosen on the first half of a log,
one after the other from the smallest view on, and what each brings is measured on the second half alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import _check
from .. import _tolerance as tol
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import seed_of
from .._types import RNG, PolicyLike, Subject, ViewsLike
from ..data.parts import chosen
from ..errors import InvalidInput, TooLarge
from ..laws.source import Logged, Recorded, Space, as_source, choose, no_signal, offers
from ..report import tabulate
from ..report.facts import brackets, percent
from ..report.result import Brief, Result
from ..report.table import Table
from .sights import ExactSight, Interval, LogSight, RunsSight, Sight, View

#: Parts of which all combinations are views unless asked otherwise, and most views.
_PARTS, _MOST = 4, 64


@dataclass(frozen=True, repr=False)
class ViewStep(Brief):
    """One view after another.

    Attributes
    ----------
    shows, instead : names of the larger view and of the one before.
    gain : what its local values explain more of the variance of Q, a share; interval : 95 % limits from data that did
        not choose it, or None where it is exact.
    taken : whether it was: the gain is above 0 for sure.
    """

    shows: str
    instead: str
    gain: float
    interval: Interval | None
    taken: bool

    def _brief(self) -> str:
        limits = "" if self.interval is None else brackets(list(self.interval), percent, percent(self.gain))
        return f"{self.shows} instead of {self.instead}: {percent(self.gain)}{limits} of the variance of Q"


@dataclass(frozen=True, eq=False, repr=False)
class Views(Result):
    """What several views leave unexplained, and which one is worth it.

    Attributes
    ----------
    parts : what local states are made of.
    views : in the order asked.
    steps : how the suggestion was found, view after view; the last one may not have been taken.
    suggestion : name of a view, or None where it cannot be told.
    stopped : why nothing larger is suggested, or nothing at all.
    estimator : how the numbers were obtained.
    """

    parts: tuple[str, ...]
    views: tuple[View, ...]
    steps: tuple[ViewStep, ...]
    suggestion: str | None
    stopped: str
    estimator: str

    def view(self, name: str) -> View:
        """The view of that name.

        Raises
        ------
        InvalidInput : there is none.
        """
        found = {v.name: v for v in self.views}
        if name not in found:
            raise InvalidInput.unknown("name", name, found, "the views are")
        return found[name]

    @property
    def misled(self) -> tuple[View, View] | None:
        """Two views, the first with the smaller E_i though it surely misses more, by the most; None: there are none."""
        pairs = [
            (low(a.unexplained, a.unexplained_interval) - high(b.unexplained, b.unexplained_interval), a, b)
            for a, b in itertools.permutations([v for v in self.views if not v.caution], 2)
            if a.worst[0] < b.worst[0]
        ]
        best = max(pairs, key=lambda p: p[0], default=None)
        return None if best is None or best[0] <= 0.0 else best[1:]

    @property
    def sentence(self) -> str:
        """What to show, what it leaves, and what E_i would have said."""
        if self.suggestion is None:
            return f"Cannot tell what agents should see: {self.stopped}."
        found, first = self.view(self.suggestion), next((s.instead for s in self.steps), None)
        said = f"Show {found.name}: local values then miss {found.missed} of the spread of Q"
        if first is not None and first != found.name:
            said += f", with {first} alone {self.view(first).missed}"
        said = f"{said}; {self.stopped}."
        if self.misled is not None:
            less, more = self.misled
            said += (
                f" E_i does not say so: it is smaller with {less.name}, which misses more than {more.name}."
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        return {"sentence": self.sentence, "parts": list(self.parts), "suggestion": self.suggestion,
                "stopped": self.stopped, "estimator": self.estimator, "views": [v.to_dict() for v in self.views],
                "steps": [plain(vars(s)) for s in self.steps],
                "agents": [u.name for u in self.views[0].entanglement.units]}  # fmt: skip

    def _tables(self) -> Iterator[Table]:
        block = self.to_dict()
        yield tabulate.views(block)
        yield tabulate.view_agents(block)
        if self.steps:
            yield tabulate.view_steps(block)

    def _badge(self) -> tuple[str, str]:
        return ("open", "cannot tell") if self.suggestion is None else ("good", f"show {self.suggestion}")


def low(value: float, interval: Interval | None) -> float:
    """The lower limit, or the value where it is exact."""
    return value if interval is None else interval[0]


def high(value: float, interval: Interval | None) -> float:
    """The upper limit, or the value where it is exact."""
    return value if interval is None else interval[1]


@reporting("comparing views")
def views(
    source: Subject,
    views: ViewsLike = None,
    *,
    policy: PolicyLike = None,
    discount: float | None = None,
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> Views:
    """What should an agent see? Entanglement, error and floor of several views of the same data; what a part brings.

    Parameters
    ----------
    source : a log whose states are several columns; `.chain` of what `me.diagnose` returns, with a `local_state` that
        returns mappings; or a chain of agents that see a signal (parts "signal" and "state").
    views : name -> parts, or a list of parts, e.g. `["cell", ["cell", "status"]]`; None: every combination of
        at most 4 parts (of a chain: the state, with the signal and without).
    policy : where the source is a system.
    discount : gamma in [0, 1); None takes that of the source.
    rng : seed or numpy Generator, of the tests.
    progress : see `analyze`.

    Returns
    -------
    Views : `.views` with E_i, `unexplained` and its floor, what rewards do not show, and a Markov test of each;
        `.suggestion`, from the smallest view on, each step chosen on one half of a log and measured on the other.

    Raises
    ------
    InvalidInput : views that show nothing, or parts that are not there. Unsupported : local states of one part.
    TooLarge : a log that does not fit in memory, or more views than are compared.

    >>> import markov_entanglement as me
    >>> price, arm = [[0.5, 0.5], [0.5, 0.5]], [[[0.9, 0.1], [0.1, 0.9]]]
    >>> system = me.ExogenousMDP([arm] * 2, [[[[1.0], [0.0]], [[0.0], [1.0]]]] * 2, signal=price, discount=0.9)
    >>> found = me.views(system.under(me.UniformPolicy()), ["state", ["signal", "state"]])
    >>> found.suggestion, found.view("state").unexplained > 0.5
    ('signal + state', True)
    """
    gamma = None if discount is None else _check.discount(discount)
    return views_of(as_source(source, policy), views, gamma, seed_of(rng))


def views_of(source: Any, maps: Any, discount: float | None, seed: int) -> Views:
    """See `views`; of a source."""
    kind, asked = sight_of(source, maps, discount)
    sight, found = kind(seed), []
    for k, (name, keep) in enumerate(asked.items()):
        with stage(name, k / (len(asked) + 1), (k + 1) / (len(asked) + 1)):
            found.append(sight.look(name, keep, k))
    with stage("which parts", len(asked) / (len(asked) + 1), 1.0):
        steps, suggestion, stopped = _walk(sight, asked)
    return Views(sight.parts, tuple(found), steps, suggestion, stopped, sight.estimator)


def sight_of(
    source: Any, maps: Any, discount: float | None
) -> tuple[Callable[[int], Sight], dict[str, tuple[str, ...]]]:
    """What makes the views of a source from a seed, and name -> parts of those that are meant; nothing is computed.

    Raises
    ------
    InvalidInput, Unsupported, TooLarge : see `views`.
    """
    recorded = offers(source, Recorded)
    if not recorded:
        source = choose(source, Space, "exact", question="views")
        if source.signal_of(0) is None:
            raise no_signal("views", source)
    parts = source.parts if recorded else ExactSight.parts
    asked = (
        _asked(maps, parts, source)
        if maps is not None
        else _every(parts, source)
        if recorded
        else ExactSight.every
    )
    if not recorded and (wrong := [keep for keep in asked.values() if keep not in ExactSight.every.values()]):
        rule = "agents of a chain are shown their own state, with the signal or without"
        raise InvalidInput("views", ", ".join(wrong[0]), rule, "Take 'state', or both.")
    made = (LogSight if offers(source, Logged) else RunsSight) if recorded else ExactSight
    return lambda seed: made(source, discount, seed), asked


def _title(keep: Sequence[str]) -> str:
    return " + ".join(keep)


def _every(parts: tuple[str, ...], source: object) -> dict[str, tuple[str, ...]]:
    """All combinations of parts."""
    chosen("views", parts, parts, source)
    if len(parts) > _PARTS:
        got, helps = f"all combinations of {len(parts)} parts", f"Name the views, e.g. views=[{parts[0]!r}]."
        raise TooLarge("views", got, f"{_PARTS} parts", helps)
    sizes = range(1, len(parts) + 1)
    return {_title(x): x for n in sizes for x in itertools.combinations(parts, n)}


def _asked(maps: Any, parts: tuple[str, ...], source: object) -> dict[str, tuple[str, ...]]:
    """Name -> parts of the views that are named."""
    if isinstance(maps, str) or not isinstance(maps, Mapping | Sequence):
        rule, helps = "a list of views, or name -> parts", "E.g. views=['cell', ['cell', 'status']]."
        raise InvalidInput.kind("views", maps, rule, helps)
    known = maps.items() if isinstance(maps, Mapping) else ((None, x) for x in maps)
    found: dict[str, tuple[str, ...]] = {}
    for name, asked in known:
        keep = chosen("views", asked, parts, source)
        title = _title(keep) if name is None else str(name)
        if keep in found.values() or title in found:
            raise InvalidInput("views", f"the view {title!r} twice", "views differ", "Drop one.")
        found[title] = keep
    if not found:
        chosen("views", parts, parts, source)
        raise InvalidInput("views", "no view", "there must be one at least", f"E.g. views=[{parts[0]!r}].")
    if len(found) > _MOST:
        raise TooLarge("views", f"{len(found)} views", f"{_MOST}", "Compare fewer.")
    return found


def _walk(sight: Sight, asked: Mapping[str, tuple[str, ...]]) -> tuple[tuple[ViewStep, ...], str | None, str]:
    """From the smallest view to larger ones, as long as they surely explain more."""
    if sight.lacking:
        return (), None, sight.lacking
    fewest = min(map(len, asked.values()))
    now = min((n for n, keep in asked.items() if len(keep) == fewest), key=lambda n: sight.rank(asked[n]))
    steps: list[ViewStep] = []
    while True:
        larger = [n for n, keep in asked.items() if set(keep) > set(asked[now])]
        if not larger:
            return tuple(steps), now, "no view that was asked for shows more"
        few = min(len(asked[n]) for n in larger)
        best = min((n for n in larger if len(asked[n]) == few), key=lambda n: sight.rank(asked[n]))
        gain, interval = sight.gain(asked[best], asked[now])
        taken = gain > tol.SOLVE if interval is None else interval[0] > 0.0
        steps.append(ViewStep(best, now, gain, interval, taken))
        if not taken:
            return tuple(steps), now, f"that {best} explains more is not sure"
        now = best
