// Browsers start no worker for a page that is opened from a folder, and the search of these pages is one.
// There, its script runs in a hidden frame, which is given the two ends of a worker: messages in, messages out.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inside = frame.contentWindow;
      this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = frame.contentDocument.createElement("script");
      script.src = address;
      script.onload = () => {
        for (const data of this.waiting.splice(0)) this.hand(data);
        this.ready = true;
      };
      frame.contentDocument.head.append(script);
    }

    postMessage(data) {
      if (this.ready) this.hand(data);
      else this.waiting.push(data);
    }

    hand(data) {
      this.inside.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
