"""Start the source controller: settings → reconcilers → runtime; nothing else."""

import asyncio
import os
import sys
from functools import partial

from shared.artifacts import server
from shared.artifacts.store import Store
from shared.runtime import health, own_folder, process
from source_controller import settings as settings_module
from source_controller.gitrepository.checkout import Checkout, start_pool
from source_controller.gitrepository.include import Includes
from source_controller.gitrepository.reach import Reach
from source_controller.gitrepository.reconcile import GitRepositoryReconciler, Publishing
from source_controller.read_secret import reader
from source_controller.settings import Settings

NAME = "source-controller"
GRACE_S = 4.0  # Flux's manifest gives the pod ten seconds in all; a fetch is begun again cheaply


async def assemble(settings: Settings, setting: process.Setting) -> process.Parts:
    """Put the controller together; nothing runs yet."""
    own_folder.claim(settings.made_up)
    store = Store(settings.storage_path, algorithm=settings.digest_algorithm)
    pool = start_pool(settings.concurrent)
    publishing = Publishing(
        root=settings.storage_path,
        algorithm=settings.digest_algorithm,
        base_url=settings.base_url,
        limit_bytes=settings.artifact_max_bytes,
        retention=settings.retention,
    )
    includes = Includes()
    reach = Reach(reader(setting.client), settings.git_cache, settings.ssh)
    reconciler = GitRepositoryReconciler(Checkout(pool), store, publishing, reach, includes)
    controller = setting.controller(reconciler)
    includes.connect(controller.cache.get, controller.queue.add)
    files = _Files(settings)

    async def lead() -> None:
        await asyncio.to_thread(store.sweep)
        await files.start()

    return process.Parts(controllers=[controller], lead=lead, close=(pool.close, files.stop), grace_s=GRACE_S)


class _Files:
    """The artifact server, which only the leader runs: others' stores may be old."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: health.Server | None = None

    async def start(self) -> None:
        if self._settings.storage_addr is not None:
            app = server.application(self._settings.storage_path)
            self._server = await health.Server.start(app, self._settings.storage_addr)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()


def main() -> int:
    settings = settings_module.read(sys.argv[1:], os.environ)
    return process.main(NAME, settings.flags, settings.unheeded, partial(assemble, settings))


if __name__ == "__main__":
    sys.exit(main())
