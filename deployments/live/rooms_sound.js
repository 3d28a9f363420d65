// The two lines of sound: the microphone to the room, the room to the loudspeaker.
// What lives here: peer connections, and making them anew. What does not: signalling (rooms_connection.js).

import {describe} from "./rooms_connection.js";

export class Sound {
  // `ask` puts an offer to the room; `changed` is called when speaking or listening began or ended; `failed` gets
  // errors of lines that are made anew by themselves.
  constructor(ask, audio, changed, failed) {
    Object.assign(this, {ask, audio, changed, failed});
    Object.assign(this, {speaks: false, listens: false, stream: null, mouth: null, ear: null, iceServers: []});
  }

  // Speak; `cleans`: the browser may take out echo and level the voice. Again makes the line anew.
  async speak(cleans, isStereo) {
    this.stream ??= await openMicrophone(cleans, isStereo);
    this.mouth?.close();
    const peer = this.mouth = new RTCPeerConnection({iceServers: this.iceServers});
    this.#watch(peer, () => this.mouth === peer, () => this.speak());
    peer.addTrack(this.stream.getAudioTracks()[0], this.stream);
    this.speaks = true;
    await this.#negotiate(peer, "publish");
  }

  async listen() {
    this.ear?.close();
    const peer = this.ear = new RTCPeerConnection({iceServers: this.iceServers});
    this.#watch(peer, () => this.ear === peer, () => this.listen());
    peer.addTransceiver("audio", {direction: "recvonly"});
    peer.ontrack = event => { this.audio.srcObject = new MediaStream([event.track]); };
    this.listens = true;
    await this.#negotiate(peer, "listen");
  }

  stopSpeaking() {
    this.speaks = false;
    this.mouth?.close();
    this.mouth = null;
    this.stream?.getTracks().forEach(track => track.stop());
    this.stream = null;
    this.changed();
  }

  stopListening() {
    this.listens = false;
    this.ear?.close();
    this.ear = this.audio.srcObject = null;
    this.changed();
  }

  // After a break the lines may be gone too: new ones continue the same voice.
  async comeBack() {
    const lines = [this.speaks && this.speak(), this.listens && this.listen()];
    await Promise.all(lines.filter(Boolean));
  }

  stop() {
    this.stopSpeaking();
    this.stopListening();
  }

  async #negotiate(peer, type) {
    this.changed();
    const answer = await this.ask(type, {sdp: await describe(peer)});
    if (peer.signalingState !== "closed") await peer.setRemoteDescription({type: "answer", sdp: answer.sdp});
  }

  #watch(peer, isCurrent, again) {
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed" && isCurrent()) again().catch(this.failed);
    };
  }
}

async function openMicrophone(cleans, isStereo) {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only over https or on localhost.");
  try {
    return await navigator.mediaDevices.getUserMedia({audio: {
      echoCancellation: cleans, autoGainControl: cleans, noiseSuppression: false,
      channelCount: {ideal: isStereo ? 2 : 1}}});
  } catch (error) {
    if (error.name === "NotAllowedError")
      throw new Error("The microphone is not allowed: allow it beside the browser's address.");
    if (error.name === "NotFoundError") throw new Error("There is no microphone: plug one in.");
    throw error;
  }
}
