"""Certificates for the tests, made by openssl, and what goes wrong with them."""
import subprocess

import grpc

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(directory, name="ca"):
    openssl(directory, "req", "-x509", *KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make(directory, name, file=None, days=2):
    """A key and a certificate of the CA for the name; days below 0: it has expired."""
    file = file or name
    with open(f"{directory}/{file}.ext", "w", encoding="ascii") as extensions:
        extensions.write(f"subjectAltName=DNS:{name}\n")
    openssl(directory, "req", *KEY, "-subj", f"/CN={name}", "-keyout", f"{file}.key", "-out", f"{file}.csr")
    openssl(directory, "x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", f"{file}.ext", "-out", f"{file}.pem")


def certificates(directory):
    """A CA, a server's certificate for db.test and a client's."""
    make_ca(directory)
    for name in ("db.test", "device"):
        make(directory, name)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def server_credentials(directory, name="db.test", wants_client=False):
    return grpc.ssl_server_credentials([(read(f"{directory}/{name}.key"), read(f"{directory}/{name}.pem"))],
                                       read(f"{directory}/ca.pem") if wants_client else None, wants_client)
