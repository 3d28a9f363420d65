// What the buttons of /live do: the protocols of docs/live.md, /v1/live or /v1/keywords, over one WebSocket.
const at = (id) => document.getElementById(id);
const REGISTER_MS = 6000;
const PIECE_MS = 40;
const KEYWORD_PIECE_MS = 20; // a word waits for no more than that
let socket = null;
let context = null;
let tracks = [];

function show(state, text) {
  at("status").dataset.state = state;
  at("status").textContent = text;
}

function fail(text) {
  at("error").textContent = text;
}

function tell(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

async function openMicrophone(pieceMs) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  tracks = stream.getTracks();
  context = new AudioContext({ sampleRate: 16000 });
  await context.audioWorklet.addModule("/live/live_sound.js");
  const worklet = new AudioWorkletNode(context, "pcm", { processorOptions: { pieceMs } });
  worklet.port.onmessage = ({ data }) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(data);
  };
  context.createMediaStreamSource(stream).connect(worklet);
}

// Resolves when sound may come; does nothing when it may already.
async function open() {
  if (socket) return;
  fail("");
  const spots = at("keywords").checked;
  const address = new URL(spots ? "/v1/keywords" : "/v1/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opening = new WebSocket(address);
  socket = opening;
  opening.onclose = () => {
    if (socket === opening) close();
  };
  try {
    await new Promise((resolve, reject) => {
      opening.onerror = () => reject(new Error("The gateway cannot be reached."));
      opening.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "error") reject(new Error(message.detail || message.title));
        else resolve();
      };
      opening.onopen = () => {
        const options = spots ? {} : { language: at("language").value.trim() || null };
        tell({ type: "hello", credential: at("credential").value || null, options });
      };
    });
    opening.onmessage = ({ data }) => hear(JSON.parse(data));
    at("keywords").disabled = true;
    await openMicrophone(spots ? KEYWORD_PIECE_MS : PIECE_MS);
  } catch (error) {
    close();
    throw error;
  }
}

function close() {
  const closing = socket;
  socket = null;
  closing?.close();
  for (const track of tracks) track.stop();
  tracks = [];
  context?.close();
  context = null;
  at("keywords").disabled = false;
  at("partial").textContent = "";
  show("out", "Stopped");
}

function hear(message) {
  if (message.type === "partial") at("partial").textContent = message.text;
  else if (message.type === "transcription") addLine(message);
  else if (message.type === "word") hearWord(message);
  else if (message.type === "error") fail(message.detail || message.title);
  else if (message.type === "speaker_registration_completed") show("out", message.message);
  else if (message.type === "speaker_registration_failed") show("out", message.message);
  else if (message.type === "transcription_started") show("on", "Listening");
  else if (message.type === "closed") close();
}

function hearWord(word) {
  at("partial").textContent = word.is_final ? "" : word.label;
  if (!word.is_final || word.is_taken_back) return;
  const name = `${word.start_s.toFixed(2)} s, ${Math.round(100 * word.probability)} %`;
  addLine({ name, text: word.label });
}

function addLine(message) {
  const line = document.createElement("li");
  const who = document.createElement("span");
  const text = document.createElement("span");
  const number = message.speaker_id ?? 0;
  line.dataset.speaker = number;
  line.dataset.side = number % 2;
  who.className = "who";
  who.textContent = message.name ?? `Speaker ${number + 1}`;
  who.dir = text.dir = "auto";
  text.textContent = message.text;
  line.append(who, text);
  at("lines").append(line);
  line.scrollIntoView({ block: "end" });
  at("partial").textContent = "";
}

async function register(number) {
  if (at("keywords").checked) {
    fail("Keywords know no voices.");
    return;
  }
  try {
    await open();
  } catch (error) {
    fail(error.message);
    return;
  }
  const name = at(`name-${number}`).value.trim() || null;
  tell({ type: "start_speaker_registration", speaker_id: number, name });
  show("registering", "Speak for six seconds …");
  setTimeout(() => tell({ type: "complete_speaker_registration", speaker_id: number }), REGISTER_MS);
}

function stop() {
  tell({ type: "close" }); // the last lines come before `closed`
}

at("controls").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await open();
    if (at("keywords").checked) show("on", "Listening for keywords");
    else tell({ type: "start_transcription" });
  } catch (error) {
    fail(error.message);
  }
});
at("stop").addEventListener("click", stop);
for (const number of [0, 1]) at(`register-${number}`).addEventListener("click", () => register(number));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
