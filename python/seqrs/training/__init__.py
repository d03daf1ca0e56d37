"""The training loop and what it is told: a :class:`Trainer` runs; :class:`Options` and :class:`Progress` say what and how far.

The loop knows neither text nor networks: a model says what a step does (:class:`Trainable`), data are a
function of a position (:class:`Batches`), and callbacks are told of what happens.
"""

from seqrs.training.options import MONITORS as MONITORS
from seqrs.training.options import OPTIMIZERS as OPTIMIZERS
from seqrs.training.options import SCHEDULES as SCHEDULES
from seqrs.training.options import Options as Options
from seqrs.training.progress import Progress as Progress
from seqrs.training.trainable import Batch as Batch
from seqrs.training.trainable import Batches as Batches
from seqrs.training.trainable import Known as Known
from seqrs.training.trainable import Outcome as Outcome
from seqrs.training.trainable import State as State
from seqrs.training.trainable import Trainable as Trainable
from seqrs.training.trainer import Callback as Callback
from seqrs.training.trainer import Trainer as Trainer
from seqrs.training.trainer import best_weights as best_weights
from seqrs.training.trainer import without_checkpoint as without_checkpoint
