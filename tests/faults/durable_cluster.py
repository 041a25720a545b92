"""A whole cluster for what is measured and not only judged: its servers write through to the disk as in production, nothing lies
between processes and servers, its processes start as in production, and every setting is its default if not said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entrypoints.settings import Settings
from tests.faults.cluster import Cluster
from tests.faults.mail_server import MailServer
from tests.faults.run_directory import RunDirectory
from tests.faults.servers import own_postgres, own_valkey

_LIVENESS = Settings().liveness_seconds  # Cluster's own default is that of the short forms


@contextmanager
def durable_cluster(home: Path, **settings: object) -> Iterator[Cluster]:
    """Two of each process, running, below `home`; all of it is gone afterwards."""
    home.chmod(0o711)
    directory = RunDirectory(home / "run")
    given: dict[str, Any] = {"LIVENESS_SECONDS": _LIVENESS, **settings}
    with (
        own_postgres(home / "postgres", fsync="on", full_page_writes="on", max_connections="200") as postgres,
        own_valkey(home / "valkey", keeps=True) as valkey,
        MailServer(directory.mails) as mail,
        Cluster(directory, postgres=postgres, valkey=valkey, network=None, MAIL_PORT=mail.port, **given) as made,
    ):
        made.fresh = True
        made.start_all()
        yield made
