"""Summaries of data: closest pairs, most neighbours, elements and ranges of labels."""

from __future__ import annotations

from .cache import Cache as Cache
from .scan import Scope as Scope
from .scan import SystemSurvey as SystemSurvey
from .scan import survey_systems as survey_systems
from .seen import Survey as Survey
from .seen import combine as combine
