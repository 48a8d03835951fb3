"""A real SMTP server for the tests: prints its port, keeps each mail it takes as a
file, and answers DATA as the file `replies` says, one line for each mail in turn:
an SMTP reply, or `hang` to take the mail and never answer. Without a line: 250.

usage: smtp_server.py FOLDER [USER PASSWORD]
"""

import asyncio
import json
import pathlib
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

folder = pathlib.Path(sys.argv[1])
login = [text.encode() for text in sys.argv[2:4]]


class Keeper:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        replies = folder / "replies"
        lines = replies.read_text().splitlines() if replies.exists() else []
        reply = lines.pop(0) if lines else "250 OK"
        replies.write_text("".join(f"{line}\n" for line in lines))
        if reply.startswith("2") or reply == "hang":
            Keeper.count += 1
            mail = {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "user": str(session.authenticated),
                "text": envelope.content.decode(),
            }
            part = folder / f"{Keeper.count:03}.part"
            part.write_text(json.dumps(mail))
            part.rename(folder / f"{Keeper.count:03}.json")
        if reply == "hang":
            await asyncio.sleep(3600)
        return reply


def check(server, session, envelope, mechanism, data):
    return AuthResult(success=[data.login, data.password] == login, handled=False)


options = {"authenticator": check, "auth_require_tls": False, "auth_required": True} if login else {}
controller = Controller(Keeper(), hostname="127.0.0.1", port=0, **options)
# Port 0: let the system choose, and say which it was.
loop = controller.loop
server = loop.run_until_complete(loop.create_server(controller.factory, "127.0.0.1", 0))
print(server.sockets[0].getsockname()[1], flush=True)
try:
    loop.run_forever()
except KeyboardInterrupt:
    pass
