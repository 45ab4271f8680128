"""An access server made of python3-pyrad: client.py ADDRESS AUTH ACCT SECRET LOGIN PASSWORD.

Prints one line for each exchange: what was asked, the reply's code, and attributes of it. pyrad verifies the reply's
authenticator and takes a reply that does not verify for none.
"""
import hashlib
import io
import os
import sys

from pyrad import packet
from pyrad.client import Client, Timeout
from pyrad.dictionary import Dictionary

NAMES = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string
ATTRIBUTE CHAP-Password 3 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE Reply-Message 18 string
ATTRIBUTE Class 25 octets
ATTRIBUTE Vendor-Specific 26 octets
ATTRIBUTE Session-Timeout 27 integer
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE Proxy-State 33 octets
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE CHAP-Challenge 60 octets
ATTRIBUTE EAP-Message 79 octets
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE Acct-Interim-Interval 85 integer
VENDOR Mikrotik 14988
BEGIN-VENDOR Mikrotik
ATTRIBUTE Mikrotik-Rate-Limit 8 string
END-VENDOR Mikrotik
"""

address, auth, acct, secret, login, password = sys.argv[1:]
client = Client(server=address, authport=int(auth), acctport=int(acct), secret=secret.encode(), dict=Dictionary(io.StringIO(NAMES)))
client.retries, client.timeout = 2, 2


def exchange(what, request, **attributes):
    for name, value in attributes.items():
        request[name.replace("_", "-")] = value
    request["Proxy-State"] = b"through a proxy"
    try:
        reply = client.SendPacket(request)
    except Timeout:
        print(what, "silence")
        return None
    said = ["code=%d" % reply.code]
    for name in sorted(reply.keys(), key=str):
        if name in ("Mikrotik-Rate-Limit", "Acct-Interim-Interval", "Proxy-State"):
            said.append("%s=%s" % (name, reply[name][0]))
        elif name in ("Class", "Message-Authenticator", "EAP-Message"):
            said.append("%s:%d" % (name, len(reply[name][0])))
    print(what, *said)
    return reply


def login_with(secret_word):
    request = client.CreateAuthPacket(code=packet.AccessRequest, User_Name=login)
    request["User-Password"] = request.PwCrypt(secret_word)
    return request


good = exchange("pap", login_with(password))
exchange("pap-wrong", login_with(password + "x"))

challenge, ident = os.urandom(16), b"\x07"
exchange("chap", client.CreateAuthPacket(code=packet.AccessRequest, User_Name=login),
         CHAP_Challenge=challenge, CHAP_Password=ident + hashlib.md5(ident + password.encode() + challenge).digest())
exchange("chap-wrong", client.CreateAuthPacket(code=packet.AccessRequest, User_Name=login),
         CHAP_Challenge=challenge, CHAP_Password=ident + hashlib.md5(ident + b"x" + challenge).digest())

session = dict(User_Name=login, Acct_Session_Id="pyrad-1", NAS_IP_Address="10.9.8.7", Framed_IP_Address="100.64.0.7", Class=good["Class"][0])
exchange("start", client.CreateAcctPacket(Acct_Status_Type=1, **session))
exchange("interim", client.CreateAcctPacket(Acct_Status_Type=3, Acct_Session_Time=300, Acct_Input_Octets=1000, Acct_Output_Octets=9000, **session))
exchange("stop", client.CreateAcctPacket(Acct_Status_Type=2, Acct_Session_Time=600, Acct_Input_Octets=2000, Acct_Output_Octets=18000,
                                         Acct_Terminate_Cause=1, **session))
