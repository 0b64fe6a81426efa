"""What a new machine does first, as cloud-init reads it. Pure text, without a secret.

The data volume is found, or made; what the node needs is fetched if it is not on the volume yet: the node program, its
facts, its balancer's configuration. A node that never had a release also fetches the promoted one and the one before,
and the node program, which trusts build keys and nobody else, takes them over; until then nothing of the node runs, so
that no client finds it. From then on the node starts without anybody's help, because it must come back to last good
while the region is unreachable. A machine that takes over a volume goes on with what is there. Where SSH leads to a
machine it takes on the host key that the outputs pin; that holds up nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from infra.slots import PROGRAM, ROOT

RUN = "/run/turnabout"

_UNIT = """\
[Unit]
Description=Turnabout node
RequiresMountsFor={root}
StartLimitIntervalSec=0

[Service]
ExecStartPre=/usr/local/sbin/turnabout-fetch
ExecStartPre=/usr/local/sbin/turnabout-join
ExecStart={program} {root}/{node} supervise
RuntimeDirectory=turnabout
KillMode=control-group
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""

_FETCH = """\
#!/bin/bash
set -euo pipefail
umask 077
mkdir -p {root}/{node}
have() {{ [ -s "$1" ]; }}
take() {{ mv -f "$1.partial" "$1"; }}
copy() {{ aws s3 cp --only-show-errors --region {region} "s3://{bucket}/$1" "$2.partial"; }}
object() {{ have "$2" || {{ copy "$1" "$2" && take "$2"; }}; }}
object program/node.pyz {root}/node.pyz
object nodes/{node}/haproxy.cfg {root}/{node}/haproxy.cfg
object nodes/session_start.lua {root}/{node}/session_start.lua
{tls}have {root}/{node}/node.json || {{
    aws ssm get-parameter --region {region} --with-decryption --name {facts} --query Parameter.Value --output text \\
        > {root}/{node}/node.json.partial && take {root}/{node}/node.json
}}
"""

_TLS = """\
mkdir -p {root}/{node}/tls
fresh() {{ openssl x509 -noout -checkend 2592000 -in "$1" > /dev/null 2>&1; }}
parameter() {{
    timeout 20 aws ssm get-parameter --region {region} --with-decryption --name "$1" --query Parameter.Value \\
        --output text > "$2.partial" && grep -q BEGIN "$2.partial" && take "$2"
}}
pem() {{ fresh "$2" || parameter "$1" "$2" || have "$2"; }}
pem {devices} {root}/{node}/tls/devices.pem
pem {server} {root}/{node}/tls/server.pem
"""
"""What ends within thirty days is fetched anew, where that works; a node that comes back alone goes on with its own."""

_JOIN = """\
#!/bin/bash
set -euo pipefail
umask 077
[ -s {root}/{node}/state.json ] && exit 0
node() {{ {program} {root}/{node} "$@"; }}
promoted=$(aws ssm get-parameter --region {region} --name {release} --query Parameter.Value --output text)
read -r good previous generation <<< "$promoted"
[ "$good" = none ] && exit 0
for digest in "$previous" "$good"; do
    [ "$digest" = none ] && continue
    aws s3 cp --only-show-errors --region {region} "s3://{bucket}/releases/${{digest#sha256:}}.tar" - \\
        | node stage "$digest"
done
node adopt "$good" --previous "$previous"
"""

_VOLUME = """\
#!/bin/bash
set -euo pipefail
for _ in $(seq 300); do [ -b /dev/sdf ] && break; sleep 1; done
blkid /dev/sdf > /dev/null || mkfs.ext4 -q -L turnabout /dev/sdf
mkdir -p {root}
grep -q LABEL=turnabout /etc/fstab || echo "LABEL=turnabout {root} ext4 defaults,nofail 0 2" >> /etc/fstab
mountpoint -q {root} || mount {root}
"""


_HOST_KEY_UNIT = """\
[Unit]
Description=The host key that is pinned for this machine
After=network-online.target sshd.service
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/turnabout-host-key
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""

_HOST_KEY = """\
#!/bin/bash
set -euo pipefail
umask 077
key=/etc/ssh/ssh_host_ed25519_key
aws ssm get-parameter --region {region} --with-decryption --name {parameter} --query Parameter.Value --output text \\
    > "$key.partial"
ssh-keygen -y -f "$key.partial" > "$key.pub.partial"
cmp -s "$key.pub.partial" "$key.pub" && {{ rm -f "$key.partial" "$key.pub.partial"; exit 0; }}
mv -f "$key.partial" "$key"
mv -f "$key.pub.partial" "$key.pub"
chmod 644 "$key.pub"
systemctl try-restart sshd
"""


@dataclass(frozen=True, slots=True)
class Ssh:
    """How SSH comes to a machine: the parameter of its host key, and whose key may log in, if anybody's."""

    host_key: str
    authorised: str = ""

    def files(self, region: str) -> dict[str, tuple[str, str]]:
        return {
            "/usr/local/sbin/turnabout-host-key": (
                "0755",
                _HOST_KEY.format(region=region, parameter=self.host_key),
            ),
            "/etc/systemd/system/turnabout-host-key.service": ("0644", _HOST_KEY_UNIT),
        }


def bastion_data(region: str, ssh: Ssh) -> str:
    """The cloud-init text of a bastion: whoever logs in there is only passed on."""
    only_onward = Ssh(ssh.host_key, f"restrict,port-forwarding {ssh.authorised}" if ssh.authorised else "")
    return _cloud_config([], only_onward.files(region), [], ["turnabout-host-key"], only_onward.authorised)


def user_data(
    node: str,
    region: str,
    bucket: str,
    facts: str,
    release: str,
    tls: tuple[str, str] | None = None,
    ssh: Ssh | None = None,
) -> str:
    """The cloud-init text of a node.

    ``facts`` and ``release`` are parameters: its node.json, and what is promoted; so are the two of ``tls``, with the
    certificates of devices' authorities and of its zone. Without ``ssh`` nobody comes that way.
    """
    said = {"node": node, "region": region, "bucket": bucket, "facts": facts, "release": release, "root": ROOT}
    said["program"] = " ".join(PROGRAM)
    said["tls"] = _TLS.format(**said, devices=tls[0], server=tls[1]) if tls else ""
    files = {
        "/usr/local/sbin/turnabout-volume": ("0755", _VOLUME.format(**said)),
        "/usr/local/sbin/turnabout-fetch": ("0755", _FETCH.format(**said)),
        "/usr/local/sbin/turnabout-join": ("0755", _JOIN.format(**said)),
        "/etc/systemd/system/turnabout-node.service": ("0644", _UNIT.format(**said)),
    }
    files |= ssh.files(region) if ssh else {}
    services = ["docker", "turnabout-node", *(["turnabout-host-key"] if ssh else [])]
    packages, first = ["docker", "haproxy", "python3.11"], ["/usr/local/sbin/turnabout-volume"]
    return _cloud_config(packages, files, first, services, ssh.authorised if ssh else "")


def _cloud_config(
    packages: list[str], files: Mapping[str, tuple[str, str]], first: list[str], services: list[str], authorised: str
) -> str:
    lines = ["#cloud-config"]
    lines += [f"packages: [{', '.join(packages)}]"] if packages else []
    lines += [f"ssh_authorized_keys: [{json.dumps(authorised)}]"] if authorised else []
    lines += ["write_files:"]
    for path, (mode, text) in files.items():
        lines += [f"  - path: {path}", f'    permissions: "{mode}"', "    content: |"]
        lines += [f"      {line}".rstrip() for line in text.splitlines()]
    lines += ["runcmd:", *(f"  - [{program}]" for program in first)]
    lines += [f"  - [systemctl, enable, --now, {', '.join(services)}]"]
    return "\n".join(lines) + "\n"
