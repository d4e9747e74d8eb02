// The part of XMLHttpRequest that strophe.js uses, over Node's HTTP. `XHR.lose` is how many of the next answers are lost
// on their way, their connections broken.
import { request } from "node:http";
import { DOMParser } from "@xmldom/xmldom";

const UNSENT = 0, OPENED = 1, DONE = 4;

export class XHR {
  static lose = 0;
  readyState = UNSENT;
  status = 0;
  responseText = "";
  responseXML = null;
  onreadystatechange = () => {};
  #request;
  #fields = {};

  open(method, url) {
    this.#request = { method, url };
    this.#change(OPENED);
  }

  setRequestHeader(name, value) {
    this.#fields[name] = value;
  }

  getAllResponseHeaders() {
    return "";
  }

  send(body) {
    const { method, url } = this.#request;
    this.#request = request(url, { method, headers: { ...this.#fields, "Content-Length": Buffer.byteLength(body) } });
    this.#request.on("error", () => this.#change(DONE));
    this.#request.on("response", (response) => {
      if (XHR.lose > 0) {
        XHR.lose -= 1;
        response.destroy();
        this.#change(DONE);
        return;
      }
      response.setEncoding("utf8");
      response.on("data", (text) => { this.responseText += text; });
      response.on("end", () => {
        this.status = response.statusCode;
        if (this.responseText) this.responseXML = new DOMParser().parseFromString(this.responseText, "text/xml");
        this.#change(DONE);
      });
    });
    this.#request.end(body);
  }

  abort() {
    this.#request?.destroy?.();
  }

  #change(state) {
    if (this.readyState === DONE) return;
    this.readyState = state;
    this.onreadystatechange();
  }
}
