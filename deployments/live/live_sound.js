// The microphone as 16-bit PCM at the context's rate, in pieces of `pieceMs`.
class Pcm extends AudioWorkletProcessor {
  constructor({ processorOptions: { pieceMs } }) {
    super();
    this.piece = new Int16Array(Math.round((sampleRate * pieceMs) / 1000));
    this.filled = 0;
  }

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.piece[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.filled === this.piece.length) {
        const whole = this.piece.slice().buffer;
        this.port.postMessage(whole, [whole]);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("pcm", Pcm);
