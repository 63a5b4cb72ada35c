// What somebody does who has a new Thunderbird: enters name, address and password, takes the
// settings that it finds, reads a message, and writes one. args are the address, the password, the
// certificate of the authority that this machine trusts, words of the message that is there, and to
// whom to write.
const [address, password, authority, words, to] = args;
const { FindConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/FindConfig.sys.mjs");
const { AccountConfig } = ChromeUtils.importESModule("resource:///modules/accountcreation/AccountConfig.sys.mjs");
const { ConfigVerifier } = ChromeUtils.importESModule("resource:///modules/accountcreation/ConfigVerifier.sys.mjs");
const { CreateInBackend } = ChromeUtils.importESModule("resource:///modules/accountcreation/CreateInBackend.sys.mjs");
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { MsgHdrToMimeMessage } = ChromeUtils.importESModule("resource:///modules/gloda/MimeMessage.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");

Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(authority, "C,C,C");

const signal = new AbortController().signal;
const finding = FindConfig.parallelAutoDiscovery(address.split("@")[1], address, signal, password);
let step = await finding.next();
while (!step.done) {
  step = await finding.next({ acceptRedirect: false });
}
let config = step.value;
if (!config) {
  throw new Error("no settings were found");
}
const source = config.subSource || String(config.source);
AccountConfig.replaceVariables(config, "Alice", address, password);
config.rememberPassword = true;
config = await new ConfigVerifier(null, signal).verifyConfig(config, false);
const account = await CreateInBackend.createAccountInBackend(config);
const describe = s => `${s.type} ${s.hostname}:${s.port} ${s.username}`;

// Reading.
const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
const listening = (what, start) =>
  new Promise((resolve, reject) =>
    start({
      OnStartRunningUrl() {},
      OnStopRunningUrl(_url, status) {
        return Components.isSuccessCode(status) ? resolve() : reject(new Error(`${what}: ${status}`));
      },
    })
  );
account.incomingServer.performExpand(null);
let inbox;
for (let i = 0; i < 300 && !inbox; i++) {
  await wait(100);
  inbox = account.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
}
let text = "";
for (let i = 0; i < 50 && !text; i++) {
  await listening("INBOX", l => inbox.QueryInterface(Ci.nsIMsgImapMailFolder).updateFolderWithListener(null, l));
  for (const header of inbox.messages) {
    const message = await new Promise(resolve => MsgHdrToMimeMessage(header, null, (_h, m) => resolve(m), true));
    const body = JSON.stringify(message.headers) + message.coerceBodyToPlaintext(inbox);
    if (body.includes(words)) {
      text = body;
    }
  }
  await wait(100);
}

// Writing.
const subject = "from Thunderbird " + Services.uuid.generateUUID().toString();
const identity = account.defaultIdentity;
identity.doFcc = false;
const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
fields.from = identity.email;
fields.to = to;
fields.subject = subject;
const path = PathUtils.join(PathUtils.profileDir, "message.eml");
await IOUtils.writeUTF8(path, `From: ${identity.email}\r\nTo: ${to}\r\nSubject: ${subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nHello.\r\n`);
const file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
file.initWithPath(path);
await new Promise((resolve, reject) => {
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgSendListener"]),
    onStartSending() {},
    onSendProgress() {},
    onStatus() {},
    onGetDraftFolderURI() {},
    onSendNotPerformed(_id, status) {
      reject(new Error("not sent: " + status));
    },
    onTransportSecurityError(_id, status) {
      reject(new Error("not sent for want of security: " + status));
    },
    onStopSending(_id, status) {
      return Components.isSuccessCode(status) ? resolve() : reject(new Error("sending: " + status));
    },
  };
  Cc["@mozilla.org/messengercompose/send;1"]
    .createInstance(Ci.nsIMsgSend)
    .sendMessageFile(identity, account.key, fields, file, false, false, Ci.nsIMsgSend.nsMsgDeliverNow, null, listener, null, null);
});
const outgoing = MailServices.outgoingServer.getServerByIdentity(identity);
return {
  source,
  incoming: describe(account.incomingServer),
  outgoing: describe({ type: outgoing.type, hostname: outgoing.serverURI.host, port: outgoing.serverURI.port, username: outgoing.username }),
  read: text,
  sent: subject,
};
