// The room's WebSocket (docs/rooms.md): joining, asking, and coming back by itself after a break.
// What lives here: one connection and its messages. What does not: sound (rooms_sound.js), what is shown.

const FIRST_PAUSE_MS = 200, LONGEST_PAUSE_MS = 2000;
// A network that vanished tells nothing: who answers no ping for so long is gone.
const PING_MS = 4000, SILENT_MS = 12000;
const GATHER_WITHIN_MS = 1000;

// Closed with one of these, trying again is no use.
const FINAL = {
  1008: "The room closed the connection",
  4401: "The key was not accepted: check it, or ask for a new one",
  4403: "You did not get in",
  4404: "No such room, or not for you: ask its owner for friendship, an invitation or a room token",
};
const ENDINGS = {
  ended: "The room has ended", removed: "You were removed from the room",
  revoked: "You may not be in this room any more", replaced: "You came in from elsewhere",
};

// What a problem document or an error message says, in words.
export function words(problem) {
  return [problem.detail || problem.title, problem.hint].filter(Boolean).join(" ");
}

export class Connection {
  // `on.state(state, text)` and `on.message(message)` are told everything; `greeting()` gives the fields of `join`.
  constructor(greeting, on) {
    Object.assign(this, {greeting, on, url: null, socket: null, wanted: false, resume: null, lastChat: null});
    this.waiting = new Map();
    this.refs = 0;
    setInterval(() => this.#lookAfter(), PING_MS);
    addEventListener("online", () => { if (this.wanted && !this.socket) this.#connect(); });
  }

  get isOpen() { return this.socket?.readyState === WebSocket.OPEN; }

  join(url) {
    this.leave();
    Object.assign(this, {url, wanted: true, resume: null, lastChat: null, pauseMs: FIRST_PAUSE_MS, refusal: ""});
    this.#connect();
  }

  leave() {
    if (!this.wanted) return;
    this.tell("leave");
    this.stop("You left the room");
  }

  stop(why) {
    this.wanted = false;
    clearTimeout(this.timer);
    this.#drop();
    this.on.state("ended", why);
  }

  tell(type, fields) {
    if (this.isOpen) this.socket.send(JSON.stringify({type, ...fields}));
  }

  // The answer to a message; rejects with what an error says.
  ask(type, fields) {
    if (!this.isOpen) return Promise.reject(new Error("Not connected just now: try again in a moment."));
    const ref = `r${++this.refs}`;
    return new Promise((resolve, reject) => {
      this.waiting.set(ref, {resolve, reject});
      this.tell(type, {...fields, ref});
    });
  }

  #connect() {
    clearTimeout(this.timer);
    if (!this.resume) this.on.state("joining", "Joining …");
    const socket = this.socket = new WebSocket(this.url);
    this.heardMs = performance.now();
    socket.onopen = () => {
      const fields = {...this.greeting(), resume: this.resume || undefined, after: this.lastChat || undefined};
      socket.send(JSON.stringify({type: "join", ...fields}));
    };
    socket.onmessage = event => { if (socket === this.socket) this.#hear(JSON.parse(event.data)); };
    socket.onclose = event => { if (socket === this.socket) this.#lost(event.code); };
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    for (const {reject} of this.waiting.values()) reject(new Error("The connection broke."));
    this.waiting.clear();
  }

  #lost(code) {
    this.#drop();
    if (!this.wanted) return;
    if (code in FINAL) { this.stop(FINAL[code]); return; }
    this.#tellTrying();
    // A little chance, so that not all come back at the same moment.
    this.timer = setTimeout(() => this.#connect(), this.pauseMs * (0.7 + 0.6 * Math.random()));
    this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
  }

  #tellTrying() {
    if (this.resume) this.on.state("lost", "Connection lost, coming back …");
    else this.on.state("joining", "Not reached yet, trying again …");
  }

  #lookAfter() {
    if (!this.socket) return;
    if (performance.now() - this.heardMs > SILENT_MS) this.#lost(1006);
    else this.tell("ping");
  }

  #hear(message) {
    this.heardMs = performance.now();
    const waiting = this.waiting.get(message.ref);
    this.waiting.delete(message.ref);
    if (message.type === "joined") {
      this.resume = message.resume;
      this.pauseMs = FIRST_PAUSE_MS;
    } else if (message.type === "chat") this.lastChat = message.id;
    else if (message.type === "moved") this.url = message.url;
    else if (message.type === "ended") { this.stop(ENDINGS[message.reason]); return; }
    else if (message.retry_after_s && !waiting) this.pauseMs = Math.max(this.pauseMs, 1000 * message.retry_after_s);
    if (waiting && message.type === "error") waiting.reject(new Error(words(message)));
    else {
      this.on.message(message);
      waiting?.resolve(message);
    }
  }
}

// All candidates go in one description: the gateway takes none later.
export async function describe(peer) {
  const offer = await peer.createOffer();
  await peer.setLocalDescription({type: "offer", sdp: withNack(offer.sdp)});
  if (peer.iceGatheringState !== "complete") await new Promise(resolve => {
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && resolve());
    setTimeout(resolve, GATHER_WITHIN_MS);
  });
  return peer.localDescription.sdp;
}

// Lost packets are asked for again (RFC 4585 §6.2.1): Chromium does so for sound only where the offer says it.
function withNack(sdp) {
  return sdp.replace(/a=rtpmap:(\d+) opus\/48000.*\r\n/gi, (line, type) => `${line}a=rtcp-fb:${type} nack\r\n`);
}
