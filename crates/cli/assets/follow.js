// A scrolling box that stays at its end while items are added, until its reader scrolls away.

/** Distance from the end (in pixels) that counts as the end. */
const NEAR = 60;

export class Follow {
  #box;
  #width = 0;
  #height = 0;
  following = true;

  /** `left` is called when the reader scrolls away from the end. */
  constructor(box, left = () => {}) {
    this.#box = box;
    box.addEventListener("scroll", () => {
      // A window that is turned or resized scrolls too, without its reader.
      if (box.clientWidth !== this.#width || box.clientHeight !== this.#height) return;
      const before = this.following;
      this.following = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
      if (before && !this.following) left();
    });
    new ResizeObserver(() => {
      this.#width = box.clientWidth;
      this.#height = box.clientHeight;
      if (this.following) this.toEnd();
    }).observe(box);
  }

  toEnd() {
    this.following = true;
    this.#box.scrollTop = this.#box.scrollHeight;
  }
}
