#!/usr/bin/python3
"""Does with the manifests of the documents what a cluster would do with them.

cert-manager: issues what each Certificate asks for, by the CA in the current folder.
The kubelet: mounts the volumes of the Deployment as links into a folder that is swapped as a whole,
runs its container as its user with its variables alone, and probes it.
Then a client connects, the broker's certificate is renewed, and the pod is asked to end.
"""

import os
import socket
import ssl
import subprocess
import sys
import time

import yaml

USAGES = {
    ("digital signature", "server auth"): ["--server"],
    ("digital signature", "client auth"): [],
}
CONFIG_MAPS = {"tidings": ["ca.crt", "access.toml"]}
HOST = "broker.example.org"
LOG = "/run/pod.log"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def issue(certificate):
    """The Secret of a Certificate."""
    spec = certificate["spec"]
    name = spec["commonName"]
    assert spec["privateKey"]["rotationPolicy"] == "Always"
    for file in (f"{name}.crt", f"{name}.key"):
        if os.path.exists(file):
            os.remove(file)
    names = [word for dns in spec.get("dnsNames", []) for word in ("--dns", dns)]
    usage = USAGES[tuple(spec["usages"])]
    subprocess.run(["tidings", "certs", "issue", name, "--certs", ".", *usage, *names], check=True)
    return {"tls.crt": read(f"{name}.crt"), "tls.key": read(f"{name}.key")}


def mount(path, files, mode, group):
    """Puts the files there as the kubelet does, all at once."""
    folder = f"..{time.monotonic_ns()}"
    os.makedirs(f"{path}/{folder}")
    for name, content in files.items():
        with open(f"{path}/{folder}/{name}", "wb") as file:
            file.write(content)
        os.chmod(file.name, mode | 0o040)
        os.chown(file.name, 0, group)
        if not os.path.lexists(f"{path}/{name}"):
            os.symlink(f"..data/{name}", f"{path}/{name}")
    os.symlink(folder, f"{path}/..data_tmp")
    os.rename(f"{path}/..data_tmp", f"{path}/..data")


def until(what, condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def served(port):
    """The certificate that clients are shown."""
    return ssl.get_server_certificate((HOST, port))


def accepts(port):
    try:
        socket.create_connection((HOST, port)).close()
        return True
    except ConnectionRefusedError:
        return False


def publish(secret, topic, port):
    for name, content in secret.items():
        with open(os.open(f"/run/{name}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
    client = ["--ca", "ca.crt", "--cert", "/run/tls.crt", "--key", "/run/tls.key"]
    command = ["tidings", "pub", "--server", f"{HOST}:{port}", *client, "--topic", topic, "--null"]
    return subprocess.run(command).returncode


def mount_volumes(pod, container, secrets):
    """Mounts what the container asks for. Gives a function that mounts a Secret's new content."""
    group = pod["securityContext"]["fsGroup"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    places = {}
    for place in container["volumeMounts"]:
        volume = volumes[place["name"]]
        if "secret" in volume:
            secret = volume["secret"]
            places[secret["secretName"]] = place["mountPath"], secret.get("defaultMode", 0o644)
        else:
            files = CONFIG_MAPS[volume["configMap"]["name"]]
            mount(place["mountPath"], {name: read(name) for name in files}, 0o644, group)

    def mount_secret(name, files):
        path, mode = places[name]
        mount(path, files, mode, group)

    for name in places:
        mount_secret(name, secrets[name])
    return mount_secret


def start(container, user):
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    # Otherwise a renewal takes a minute or two.
    environment |= {"PATH": os.environ["PATH"], "TIDINGS_RELOAD_INTERVAL": "100ms"}
    return subprocess.Popen(
        container["command"],
        env=environment,
        user=user["runAsUser"],
        group=user["runAsGroup"],
        extra_groups=[user["fsGroup"]],
        stderr=open(LOG, "wb"),
    )


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    manifests = [part for file in sys.argv[1:] for part in yaml.safe_load_all(read(file))]

    def of_kind(kind):
        return [part for part in manifests if part["kind"] == kind]

    certificates = {part["spec"]["secretName"]: part for part in of_kind("Certificate")}
    secrets = {name: issue(certificate) for name, certificate in certificates.items()}
    [deployment], [service] = of_kind("Deployment"), of_kind("Service")
    template = deployment["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    [container] = pod["containers"]
    [open_port] = container["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == open_port["name"]
    port = open_port["containerPort"]

    mount_secret = mount_volumes(pod, container, secrets)
    broker = start(container, pod["securityContext"])
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"]["port"] == open_port["name"]
        until(probe, lambda: accepts(port) or broker.poll() is not None)
    assert publish(secrets["sensor-7"], "plant/sensor-7/heat", port) == 0
    assert publish(secrets["sensor-7"], "plant/sensor-8/heat", port) == 1

    before = served(port)
    mount_secret("tidings-server", issue(certificates["tidings-server"]))
    until("the renewed certificate", lambda: served(port) != before)
    broker.terminate()
    assert broker.wait(20) == 0
    # Probes and a renewal are no reason for a warning.
    log = read(LOG).decode()
    assert "publish_denied" in log and " WARN " not in log, log


try:
    main()
except BaseException:
    if os.path.exists(LOG):
        print(read(LOG).decode())
    raise
