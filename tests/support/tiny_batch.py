"""A batch whose MuseTalk has tiny networks, in this process or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable

from avatarvideo.batch.executor import Executor
from avatarvideo.batch.in_process import NAME, InProcess
from avatarvideo.batch.leases import Owner
from avatarvideo.batch.maker import Maker
from avatarvideo.batch.ray_actor import BatchActor
from avatarvideo.batch.ray_cluster import RayCluster
from avatarvideo.batch.run import Batch
from support.given_models import MuseTalkModels
from support.tiny_models import tiny_models


class TinyActor(BatchActor):
    def _models(self) -> MuseTalkModels:
        return tiny_models()


class TinyBatch(Batch):
    def _started(self, owner: Owner, before_work: Callable[[], None]) -> Executor:
        wishes = self._wishes
        if wishes.ray:
            return RayCluster(
                wishes.ray, wishes.workers, wishes.threads, self._setup(owner), TinyActor
            )
        return InProcess(Maker(self._host, self._ledger, NAME, tiny_models()))
