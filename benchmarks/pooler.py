"""PgBouncer, set up to do what the proxy does: one server connection for each client, SCRAM on both
sides, TLS towards clients only.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import Entrance
from ports import wait_for_listeners

from broker.embedded import free_port
from proxy.own_certificate import CertificateFiles

_STOP_TIMEOUT_S = 10.0


@contextmanager
def run_pgbouncer(
    program: Path, home: Path, direct: Entrance, verifier: str, certificate: CertificateFiles
) -> Iterator[Entrance]:
    """Run PgBouncer in `home`, for the login of `direct`.

    It knows only the verifier, and uses the client's keys to log in, as the proxy does: from a
    password it would derive keys at every login, which is dear.
    """
    folder, port = home / "pgbouncer", free_port()
    owner = certificate.key.stat()  # PgBouncer refuses root as PostgreSQL does
    folder.mkdir(mode=0o700)
    (folder / "users.txt").write_text(f'"{direct.user}" "{verifier}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
bench = host=127.0.0.1 port={direct.port} dbname=bench
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = session
default_pool_size = 100
auth_type = scram-sha-256
auth_file = {folder}/users.txt
client_tls_sslmode = allow
client_tls_cert_file = {certificate.certificate}
client_tls_key_file = {certificate.key}
server_tls_sslmode = disable
ignore_startup_parameters = extra_float_digits
logfile = {folder}/pgbouncer.log
""",
    )
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    as_root = os.geteuid() == 0
    with (home / "pgbouncer.out").open("w") as output:
        process = subprocess.Popen(
            [str(program), str(folder / "pgbouncer.ini")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=owner.st_uid if as_root else None,
            group=owner.st_gid if as_root else None,
            extra_groups=[] if as_root else None,
            start_new_session=True,
        )
    try:
        wait_for_listeners(port, 1)
        yield Entrance(
            name="pgbouncer",
            port=port,
            user=direct.user,
            password=direct.password,
            processes=(process.pid,),
            tls=True,
        )
    finally:
        process.send_signal(signal.SIGINT)  # a shutdown in order
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pgbouncer_version(program: Path) -> str:
    said = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, check=True, timeout=10
    )
    return said.stdout.splitlines()[0].removeprefix("PgBouncer ")
