// Charts of the last minute of some figures, drawn on canvases.

/** Time range of a chart, in ms. */
const SPAN = 60_000;
/** Periods by which the newest figure waits outside the right edge, so that the line moves evenly. */
const DELAY = 1.2;
/** Number of periods after which a pause between two figures is shown as a gap. */
const GAP = 6;
const MARGIN = { left: 1, right: 1, top: 16, bottom: 18 };

const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Difference of the server's clock to ours, as shown by the event that arrived fastest. */
let ahead = -Infinity;
const now = () => performance.now() + ahead;

/** Draws samples `[value, …]`, one number per series, in the series' colors; the first may be filled. */
export class Chart {
  #canvas;
  #series;
  #format;
  #ceiling;
  #top;
  #samples = [];
  #colors = {};
  #pointer;
  #asked = false;
  #delay;
  #gap;

  /**
   * `series`: names of CSS variables, the topmost first. `format`: formats a value. `ceiling`: value at the top
   * for the largest value so far. `fill`: fills the area under the first series. `faint`: draws the others thin,
   * and hides them from screen readers. `period`: interval of the figures, in ms.
   */
  constructor(canvas, { series, format, ceiling, fill = false, faint = false, period = 250 }) {
    this.#canvas = canvas;
    this.#series = series;
    this.#format = format;
    this.#ceiling = ceiling;
    this.fill = fill;
    this.faint = faint;
    this.#delay = DELAY * period;
    this.#gap = GAP * period;
    this.#top = ceiling(0);
    canvas.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.#point(undefined));
    new ResizeObserver(() => this.#ask()).observe(canvas);
    dark.addEventListener("change", () => this.#paint());
    this.#paint();
  }

  /** Adds the newest values in the order of the series, or undefined; `at` is the server's time in ms. */
  push(at, values) {
    if (at < this.#samples.at(-1)?.at) {
      // The server's clock was set back, or the server is another one.
      this.#samples.length = 0;
      ahead = -Infinity;
    }
    ahead = Math.max(ahead, at - performance.now());
    this.#samples.push({ at, values });
    // One sample beyond the left edge stays, for the line that crosses the edge.
    while (this.#samples.length > 2 && this.#samples[1].at < now() - SPAN - this.#delay) this.#samples.shift();
    this.#canvas.dataset.samples = this.#samples.length;
    this.#ask();
  }

  #point(x) {
    this.#pointer = x;
    this.#ask();
  }

  #paint() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.#colors = { grid: color("grid"), soft: color("soft"), text: color("text"), card: color("card") };
    for (const name of this.#series) this.#colors[name] = color(name);
    this.#font = `11px ${color("sans")}`;
    this.#ask();
  }
  #font = "11px sans-serif";

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
      if (!still.matches && this.#samples.length > 0) this.#ask();
    });
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = this.#font;

    const highest = Math.max(0, ...this.#samples.flatMap(({ values }) => values.map((value) => value ?? 0)));
    const goal = this.#ceiling(highest);
    this.#top = still.matches || Math.abs(goal - this.#top) < goal / 200 ? goal : this.#top + (goal - this.#top) / 8;

    const end = still.matches || this.#samples.length === 0 ? (this.#samples.at(-1)?.at ?? 0) : now() - this.#delay;
    const right = width - MARGIN.right;
    const floor = height - MARGIN.bottom;
    const view = {
      width,
      floor,
      x: (at) => right - ((end - at) / SPAN) * (right - MARGIN.left),
      y: (value) => floor - (value / this.#top) * (floor - MARGIN.top),
    };
    this.#axes(pen, view, goal);
    pen.save();
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.clip();
    for (let index = this.#series.length - 1; index >= 0; index -= 1) this.#line(pen, view, index);
    pen.restore();
    if (this.#pointer !== undefined) this.#reading(pen, view);
  }

  #axes(pen, { width, floor, y }, goal) {
    pen.lineWidth = 1;
    pen.strokeStyle = this.#colors.grid;
    pen.fillStyle = this.#colors.soft;
    pen.textAlign = "left";
    pen.textBaseline = "bottom";
    for (const part of [0, 0.5, 1]) {
      const height = Math.round(y(goal * part)) + 0.5;
      if (height < 0) continue;
      pen.beginPath();
      pen.moveTo(0, height);
      pen.lineTo(width, height);
      pen.stroke();
      if (part > 0) pen.fillText(this.#format(goal * part), 0, height - 2);
    }
    pen.textBaseline = "top";
    pen.fillText("60 s ago", 0, floor + 5);
    pen.textAlign = "center";
    pen.fillText("30 s", width / 2, floor + 5);
    pen.textAlign = "right";
    pen.fillText("now", width, floor + 5);
  }

  #line(pen, { floor, x, y }, index) {
    const color = this.#colors[this.#series[index]];
    const stretch = [];
    const finish = () => {
      if (stretch.length === 1) {
        pen.fillStyle = color;
        pen.beginPath();
        pen.arc(...stretch[0], 2, 0, 2 * Math.PI);
        pen.fill();
      }
      if (stretch.length > 1) {
        const path = new Path2D();
        stretch.forEach(([across, up], point) => path[point === 0 ? "moveTo" : "lineTo"](across, up));
        pen.strokeStyle = color;
        pen.lineJoin = "round";
        pen.lineWidth = index === 0 ? 2 : 1.5;
        pen.globalAlpha = this.faint && index > 0 ? 0.35 : 1;
        pen.stroke(path);
        if (this.fill && index === 0) {
          path.lineTo(stretch.at(-1)[0], floor);
          path.lineTo(stretch[0][0], floor);
          pen.globalAlpha = 0.14;
          pen.fillStyle = color;
          pen.fill(path);
        }
        pen.globalAlpha = 1;
      }
      stretch.length = 0;
    };
    let before;
    for (const { at, values } of this.#samples) {
      if (before !== undefined && at - before > this.#gap) finish();
      before = at;
      if (values[index] === undefined) finish();
      else stretch.push([x(at), y(values[index])]);
    }
    finish();
  }

  #reading(pen, { width, floor, x, y }) {
    let nearest;
    for (const sample of this.#samples) {
      const distance = Math.abs(x(sample.at) - this.#pointer);
      if (distance < 12 && !(nearest && nearest.distance <= distance)) nearest = { sample, distance };
    }
    if (!nearest) return;
    const { at, values } = nearest.sample;
    const across = x(at);
    pen.strokeStyle = this.#colors.soft;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(across, MARGIN.top);
    pen.lineTo(across, floor);
    pen.stroke();
    const shown = this.faint ? values.slice(0, 1) : values;
    shown.forEach((value, index) => {
      if (value === undefined) return;
      pen.fillStyle = this.#colors[this.#series[index]];
      pen.beginPath();
      pen.arc(across, y(value), 3.5, 0, 2 * Math.PI);
      pen.fill();
    });
    const text = shown.map((value) => (value === undefined ? "–" : this.#format(value))).join("  ·  ");
    const half = pen.measureText(text).width / 2 + 7;
    const middle = Math.min(Math.max(across, half), width - half);
    pen.fillStyle = this.#colors.card;
    pen.fillRect(middle - half, 0, 2 * half, 16);
    pen.fillStyle = this.#colors.text;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(text, middle, 8);
  }
}

/** The next round number: 1, 2 or 5 times a power of ten. */
export function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}
