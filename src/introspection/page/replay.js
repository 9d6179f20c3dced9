/** The page of `troupe replay`: a slider over the events of a recording lights the statecharts as they were. */
import { takeToken, tokenHeader } from './api.js';
import { ChartPicture } from './chart-draw.js';
import { h, setText } from './dom.js';
import { activeStates, clockText } from './format.js';
import { Recording } from './replay-model.js';

const element = (id) => document.getElementById(id);
const time = element('time');
const pictures = new Map();
let recording;
let chosen = '';

function pictureOf(chart) {
  const known = pictures.get(chart.id) ?? new ChartPicture(chart);
  pictures.set(chart.id, known);
  return known;
}

function draw() {
  const atMs = recording.timeOf(Number(time.value));
  const here = recording.at(atMs);
  setText(
    element('status'),
    `${clockText(recording.wallOf(atMs))} · event ${Number(time.value) + 1} of ${recording.events.length}`,
  );
  element('actors').replaceChildren(
    ...here.map(({ actor, state, settled, isGone }) => {
      const button = h(
        'button',
        {
          type: 'button',
          'aria-pressed': String(actor.address === chosen),
          'data-tone': isGone ? 'gone' : settled ? 'rest' : 'busy',
        },
        actor.title,
        h('span', {}, state),
      );
      button.addEventListener('click', () => {
        chosen = actor.address;
        draw();
      });
      return button;
    }),
  );
  drawChosen(
    here.find(({ actor }) => actor.address === chosen),
    atMs,
  );
}

function drawChosen(shown, atMs) {
  setText(element('title'), shown === undefined ? 'Choose a pod, a container or a pull.' : shown.actor.title);
  const chart = recording.charts.get(shown?.actor.chart);
  const events = shown === undefined ? [] : recording.historyOf(chosen, atMs);
  if (chart === undefined) element('chart').replaceChildren();
  else {
    const picture = pictureOf(chart);
    if (picture.element.parentNode !== element('chart')) element('chart').replaceChildren(picture.element);
    picture.light(
      activeStates(shown.state),
      events.flatMap(({ to }) => activeStates(to)),
    );
    picture.reveal(element('chart'));
  }
  element('progress').replaceChildren(
    ...(shown === undefined ? [] : recording.progressOf(chosen, atMs)).map((span) =>
      h('li', {}, `${span.kind} ${span.method ?? span.effect}: ${(atMs - span.atMs).toFixed(1)} ms so far`),
    ),
  );
  element('events').replaceChildren(
    ...events.map((event) =>
      h(
        'li',
        {},
        `${clockText(recording.wallOf(event.atMs))} ${event.on} → ${event.to} ${event.cause ?? ''}`,
      ),
    ),
  );
}

function step(by) {
  time.value = String(Number(time.value) + by);
  draw();
}

async function begin() {
  takeToken();
  const answer = await fetch('/recording.json', { headers: tokenHeader(), cache: 'no-store' });
  if (!answer.ok) {
    setText(element('status'), (await answer.text()).trim());
    return;
  }
  recording = new Recording(await answer.json());
  time.max = String(Math.max(0, recording.events.length - 1));
  time.value = time.max;
  chosen = recording.events.at(-1)?.actor ?? '';
  time.addEventListener('input', draw);
  element('before').addEventListener('click', () => step(-1));
  element('after').addEventListener('click', () => step(1));
  draw();
}

await begin();
