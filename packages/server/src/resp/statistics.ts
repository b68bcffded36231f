/** What the door counts, for INFO and for the server's metrics. CONFIG RESETSTAT sets it back. */
export class DoorStatistics {
  connectionsReceived = 0;
  connectionsRefused = 0;
  commands = 0;
  inputBytes = 0;
  outputBytes = 0;
  errorReplies = 0;
  slowReadersDisconnected = 0;
  overloadWaits = 0;

  reset(): void {
    this.connectionsReceived = 0;
    this.connectionsRefused = 0;
    this.commands = 0;
    this.inputBytes = 0;
    this.outputBytes = 0;
    this.errorReplies = 0;
    this.slowReadersDisconnected = 0;
    this.overloadWaits = 0;
  }
}
