// What the buttons of the page do, and what it shows. docs/rooms.md is the protocol.
// What does not live here: the WebSocket (rooms_connection.js), sound (rooms_sound.js).

import {Connection, words} from "./rooms_connection.js";
import {Sound} from "./rooms_sound.js";

const $ = id => document.getElementById(id);
const QUIET_DBFS = -60;
const CAPTIONS_SHOWN = 50, PEOPLE_AT_ONE_MICROPHONE = 4;
const LEVELS_LAST_MS = 500;  // they come five times a second while anybody speaks

const room = {me: null, plan: null, people: new Map(), quiet: null};

const connection = new Connection(
  () => ({credential: $("credential").value.trim() || undefined, password: $("room-password").value || undefined,
          name: $("my-name").value.trim() || undefined}),
  {state: showStatus, message: message => handlers[message.type]?.(message)});
const sound = new Sound((type, fields) => connection.ask(type, fields), $("audio"), showSound, fail);

function fail(error) { $("error").textContent = error.message; }

// Each thing that is done takes the last error away, and shows its own.
function guard(work) {
  return async event => {
    event?.preventDefault();
    $("error").textContent = "";
    try { await work(event); } catch (error) { fail(error); }
  };
}

// The HTTP API

async function call(method, path, body) {
  const headers = {Authorization: "Bearer " + $("credential").value.trim()};
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  const content = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(words(content));
  return content;
}

async function showRooms() {
  const [mine, others] = await Promise.all([call("GET", "/v1/rooms"), call("GET", "/v1/rooms?whose=others")]);
  const open = [...mine.rooms, ...others.rooms].filter(one => one.state === "open");
  $("rooms-list").replaceChildren(...open.map(one => {
    const item = document.createElement("li");
    const choose = button("", `${one.name} (${one.owner}, ${one.visibility})`, () => {
      $("room-id").value = one.id;
      $("join").focus();
    });
    choose.dataset.room = one.id;
    choose.dir = "auto";
    item.append(choose);
    return item;
  }));
  if (!open.length) $("rooms-list").append(part("li", "facts", "No open room yet: make one."));
}

async function makeRoom() {
  const isMusic = $("new-sound").value === "music";
  const made = await call("POST", "/v1/rooms", {
    name: $("new-name").value, visibility: $("new-visibility").value, sound: $("new-sound").value,
    password: $("new-visibility").value === "password" ? $("new-password").value : undefined,
    frame_ms: Number($("new-frame").value), denoise: $("new-denoise").checked && !isMusic,
    record: $("new-record").checked, captions: $("new-captions").checked});
  $("room-id").value = made.id;
  await showRooms();
  $("join").focus();
}

async function makeGuest() {
  const made = await call("POST", `/v1/rooms/${encodeURIComponent(room.plan.id)}/tokens`,
                          {role: $("guest-role").value, label: "Guest"});
  $("guest-token").value = made.token;
}

// The room

function join() {
  const url = new URL(`/v1/rooms/${encodeURIComponent($("room-id").value.trim())}/ws`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  $("chat-log").replaceChildren();
  $("captions-log").replaceChildren();
  $("guest-token").value = "";
  connection.join(url.href);
}

const handlers = {
  joined(message) {
    room.me = message.you.id;
    room.plan = message.room;
    sound.iceServers = message.ice_servers;
    room.people = new Map(message.participants.map(one => [one.id, one]));
    $("room-name").textContent = message.room.name;
    showRoom({is_locked: message.room.is_locked, is_recording: message.recording});
    message.chat.forEach(showChat);
    showPeople();
    showCaptions(message.captions);
    $("error").textContent = "";
    showStatus("in", `In the room, as ${message.you.name} (${message.you.role})`);
    history.replaceState(null, "", `#${message.room.id}`);  // to be found again after loading the page anew
    sound.comeBack().catch(error => { if (connection.isOpen) fail(error); });
  },
  participant(message) { room.people.set(message.id, message); showPeople(); },
  left(message) { room.people.delete(message.id); showPeople(); partialOf(message.id)?.remove(); },
  room: showRoom,
  levels(message) { showLevels(message.levels); },
  captions: showCaptions,
  caption: showCaption,
  chat: showChat,
  chat_removed(message) { find("chat-log", message.id)?.remove(); },
  error(message) { fail(new Error(words(message))); },
};

function tellMine(type, more = {}) {
  return connection.ask(type, {is_on: $(type).getAttribute("aria-pressed") !== "true", ...more});
}

function switchCaptions() {
  const byVoices = {options: {voices: "account", speakers: PEOPLE_AT_ONE_MICROPHONE}};
  return tellMine("captions", $("captions-voices").checked ? byVoices : {});
}

async function toggleMic() {
  if (!sound.speaks) return sound.speak($("browser-cleaning").checked, room.plan.sound === "music");
  sound.stopSpeaking();
  await connection.ask("stop_publishing");
}

async function toggleListen() {
  if (!sound.listens) return sound.listen();
  sound.stopListening();
  await connection.ask("stop_listening");
}

async function sendChat() {
  const text = $("chat-text").value;
  if (!text.trim()) return;
  await connection.ask("chat", {text});
  $("chat-text").value = "";
}

// What is shown

function showStatus(state, text) {
  document.body.dataset.state = $("status").dataset.state = state;
  $("status").textContent = text;
  if (state !== "ended") return;
  sound.stop();
  room.people.clear();
  showPeople();
}

function press(id, isOn) { $(id).setAttribute("aria-pressed", String(Boolean(isOn))); }

function showSound() {
  press("mic", sound.speaks);
  press("listen", sound.listens);
  $("browser-cleaning").disabled = sound.speaks;
}

function showRoom(state) {
  Object.assign($("room-state").dataset, {locked: state.is_locked, recording: state.is_recording});
  $("room-state").textContent = [
    room.plan.id, room.plan.visibility, state.is_locked ? "locked: nobody new comes in" : "open"].join(" · ");
  $("recording-notice").hidden = !state.is_recording;
  press("lock", state.is_locked);
  press("record", state.is_recording);
}

function showPeople() {
  const me = room.people.get(room.me);
  press("denoise", me?.is_denoised);
  press("mute", me?.is_muted);
  $("denoise").disabled = !room.plan?.denoise;
  $("denoise").title = $("denoise").disabled ? "This room was made without denoising" : "";
  $("mic").disabled = $("mute").disabled = me?.role === "listen";
  $("moderating").hidden = $("guest-form").hidden = me?.role !== "moderate";
  // Those who stay keep their elements: focus and level with them.
  $("participants").replaceChildren(...[...room.people.values()].map(one => showPerson(one, me)));
}

function showPerson(one, me) {
  const item = find("participants", one.id) ?? newPerson(one);
  const facts = [one.role, one.is_publishing && "speaks", one.is_listening && "listens", one.is_muted && "muted",
                 one.is_denoised && "denoised", one.denoise_failed && "not cleaned now"];
  item.querySelector(".name").textContent = one.name + (one.id === room.me ? " (me)" : "");
  item.querySelector(".facts").textContent = facts.filter(Boolean).join(", ");
  item.querySelector(".mute").textContent = one.is_muted ? "Unmute" : "Mute";
  item.querySelector(".row").hidden = me?.role !== "moderate" || one.id === room.me;
  return item;
}

function newPerson(one) {
  const item = document.createElement("li"), who = document.createElement("span"), row = part("span", "row", "");
  const level = part("meter", "level", "");
  Object.assign(level, {min: QUIET_DBFS, max: 0, value: QUIET_DBFS, ariaLabel: `Level of ${one.name}`});
  item.dataset.id = one.id;
  who.append(part("bdi", "name", ""), part("span", "facts", ""));
  row.append(
    button("mute", "", () => connection.ask("mute", {participant: one.id, is_on: !room.people.get(one.id).is_muted})),
    button("remove", "Remove", () => connection.tell("remove", {participant: one.id})));
  item.append(who, level, row);
  return item;
}

function showLevels(levels) {
  for (const item of $("participants").children)
    item.querySelector(".level").value = levels[item.dataset.id] ?? QUIET_DBFS;
  clearTimeout(room.quiet);
  if (Object.keys(levels).length) room.quiet = setTimeout(showLevels, LEVELS_LAST_MS, {});
}

function showChat(message) {
  if (find("chat-log", message.id)) return;
  const item = document.createElement("li"), said = part("span", "said", message.text);
  item.dataset.id = message.id;
  said.dir = "auto";
  const who = part("bdi", "who", message.name), at = new Date(message.at).toLocaleTimeString();
  if (message.participant === room.me || room.people.get(room.me)?.role === "moderate") {
    const takeBack = button("take-back", "×", () => connection.ask("remove_chat", {id: message.id}));
    takeBack.ariaLabel = "Take this message back";
    item.append(takeBack);
  }
  item.append(who, part("span", "who", ` · ${at}`), said);
  $("chat-log").append(item);
  $("chat-log").scrollTop = $("chat-log").scrollHeight;
}

function showCaptions(state) {
  press("captions", state.is_on);
  const late = Object.entries(state.troubles).map(([id, code]) =>
    `${room.people.get(id)?.name ?? "Somebody"}: ${code === "behind" ? "late" : "missing just now"}`);
  const named = state.is_on && state.voices === "account" ? ["Names come from the voices that the owner enrolled"] : [];
  $("captions-state").textContent = [...named, ...late].join(" · ");
  $("captions-state").hidden = !$("captions-state").textContent;
  if (!state.is_on) for (const item of [...$("captions-log").children]) if (item.dataset.partial) item.remove();
  $("captions-log").hidden = !state.is_on && !$("captions-log").children.length;
}

// What somebody is saying stands last and is replaced, until the final line is there.
function showCaption(message) {
  const log = $("captions-log"), item = document.createElement("li"), said = part("span", "said", message.text);
  partialOf(message.participant)?.remove();
  if (message.is_final) item.dataset.id = message.id;
  else item.dataset.partial = message.participant;
  said.dir = "auto";
  const whose = message.speaker ?? (message.speaker_id === undefined ? "" : `voice ${message.speaker_id + 1}`);
  item.append(part("bdi", "who", [message.name, whose].filter(Boolean).join(", ")), said);
  if (message.is_final) log.insertBefore(item, [...log.children].find(one => one.dataset.partial) ?? null);
  else log.append(item);
  while (log.children.length > CAPTIONS_SHOWN) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

function partialOf(id) { return [...$("captions-log").children].find(item => item.dataset.partial === id); }

function find(list, id) { return [...$(list).children].find(item => item.dataset.id === id); }

function part(kind, name, text) {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = text;
  return made;
}

function button(name, text, work) {
  const made = part("button", name, text);
  made.type = "button";
  made.addEventListener("click", guard(work));
  return made;
}

const forms = {"key-form": showRooms, "join-form": join, "make-form": makeRoom, "guest-form": makeGuest,
               "chat-form": sendChat};
for (const [id, work] of Object.entries(forms)) $(id).addEventListener("submit", guard(work));
const buttons = {
  leave: () => connection.leave(), mic: toggleMic, listen: toggleListen,
  denoise: () => tellMine("denoise"), mute: () => tellMine("mute"),
  lock: () => tellMine("lock"), record: () => tellMine("record"), captions: switchCaptions,
  end: () => { if (confirm("End this room for everybody, for good?")) connection.tell("end"); }};
for (const [id, work] of Object.entries(buttons)) $(id).addEventListener("click", guard(work));
$("room-id").value = location.hash.slice(1);
showPeople();
