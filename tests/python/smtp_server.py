"""Mail servers for the tests: TLS from the first byte, STARTTLS, and one without either that still asks for the password.

Use: smtp_server.py FOLDER USER PASSWORD

Prints one line of JSON with ports and the certificates of authorities; then one for every attempt to log in, every mail
that was taken, and whatever the server without TLS was sent.
"""
import asyncio, json, pathlib, ssl, sys

import trustme
from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    print(json.dumps(what), flush=True)


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        mail = envelope.content.decode("utf-8", "replace")
        say(mail=mail, to=envelope.rcpt_tos, encrypted=session.ssl is not None, user=(session.auth_data or b"").decode())
        return "250 taken"


class Listening(SMTP):
    """Tells what it is sent."""

    def data_received(self, data):
        say(overheard=data.decode("latin-1"))
        super().data_received(data)


async def main(folder, user, password):
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def check(server, session, envelope, mechanism, data):
        given = (data.login.decode(), data.password.decode())
        say(login=given[0], right=given == (user, password))
        # The handler sees who it was.
        return AuthResult(success=given == (user, password), handled=False, auth_data=data.login)

    common = {"authenticator": check, "auth_required": True, "hostname": "mail.example.com"}
    loop, mailbox = asyncio.get_running_loop(), Mailbox()
    makers = {
        # To the protocol TLS from the first byte looks like none.
        "tls": (lambda: SMTP(mailbox, auth_require_tls=False, **common), context),
        "starttls": (lambda: SMTP(mailbox, require_starttls=True, tls_context=context, **common), None),
        "plain": (lambda: Listening(mailbox, auth_require_tls=False, **common), None),
    }
    ports = {}
    for name, (maker, wrapped) in makers.items():
        server = await loop.create_server(maker, "127.0.0.1", 0, ssl=wrapped)
        ports[name] = server.sockets[0].getsockname()[1]
    say(ports=ports, ca=str(folder / "ca.pem"), other=str(folder / "other.pem"))
    await asyncio.Event().wait()


asyncio.run(main(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
