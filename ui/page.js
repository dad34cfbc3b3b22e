// The page's own few gestures: copy and save the JSON, a timeline that plays, a playhead on it, and news read aloud.
(() => {
  const STEP_SECONDS = 2;
  const panel = (element) => element.closest('[role=tabpanel]') ?? document;
  const player = (element) => panel(element).querySelector('video[src], audio[src], video, audio');

  async function copy(button) {
    const body = button.closest('details').querySelector('pre').textContent;
    await navigator.clipboard.writeText(body);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  }

  function save(button) {
    const body = button.closest('details').querySelector('pre').textContent;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([body], { type: 'application/json' }));
    link.download = button.dataset.save;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function seek(element, seconds, { play = true } = {}) {
    const media = player(element);
    if (!media) return;
    media.currentTime = seconds;
    if (play) media.play().catch(() => {});
  }

  const clock = (seconds) => seconds < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

  // What the fused verdict is at a moment, as the band there says it.
  function said(figure, seconds) {
    const at = seconds / Number(figure.dataset.seconds) * figure.querySelector('svg').viewBox.baseVal.width;
    const band = [...figure.querySelectorAll('.ms-band')].findLast((one) => one.x.baseVal.value <= at);
    return band?.textContent ?? clock(seconds);
  }

  function showMoment(figure, seconds) {
    const head = figure.querySelector('.ms-playhead');
    const whole = Number(figure.dataset.seconds);
    head.hidden = false;
    head.style.setProperty('--at', Math.min(seconds / whole, 1));
    const plot = figure.querySelector('.ms-plot');
    plot.setAttribute('aria-valuenow', seconds.toFixed(1));
    plot.setAttribute('aria-valuetext', said(figure, seconds));
  }

  // A timeline beside a player is a slider of it; without one it is a picture.
  function makePlayable(figure) {
    if (figure.dataset.playable || figure.closest('.ms-live') || !player(figure)) return;
    figure.dataset.playable = 'yes';
    const how = figure.parentElement.querySelector('.ms-how');
    if (how) how.hidden = false;
    const about = { tabindex: 0, role: 'slider', 'aria-label': 'Moment to play', 'aria-valuemin': 0,
                    'aria-valuemax': figure.dataset.seconds, 'aria-valuenow': 0 };
    const plot = figure.querySelector('.ms-plot');
    for (const [name, value] of Object.entries(about)) plot.setAttribute(name, value);
  }

  // Whatever is new to read: one region that stays, since one that comes with its words is not read by every reader.
  const aloud = Object.assign(document.createElement('p'), { className: 'ms-aloud', role: 'status' });
  function tell() {
    const open = [...document.querySelectorAll('[role=tabpanel]')].find((one) => one.offsetParent) ?? document;
    const news = open.querySelector('.ms-result:not(.ms-live) .ms-verdict-words, .ms-working p'); // `.ms-failed` is an alert
    const words = news?.innerText.trim().replace(/\s+/g, ' ') ?? '';
    if (words && words !== aloud.textContent) aloud.textContent = words;
  }

  let waiting = false;
  function look() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      document.querySelectorAll('.ms-timeline').forEach(makePlayable);
      tell();
    });
  }

  function watch() {
    document.body.append(aloud);
    new MutationObserver((changes) => {
      if (changes.some((change) => !aloud.contains(change.target))) look();
    }).observe(document.body, { childList: true, subtree: true });
  }
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', watch);
  else watch();

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-copy], [data-save], [data-seek]');
    if (button?.matches('[data-copy]')) copy(button);
    else if (button?.matches('[data-save]')) save(button);
    else if (button) seek(button, Number(button.dataset.seek));
    const plot = event.target.closest('[data-playable] .ms-plot');
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    seek(plot, (event.clientX - box.left) / box.width * Number(plot.parentElement.dataset.seconds));
  });

  document.addEventListener('keydown', (event) => {
    const figure = event.target.closest?.('[data-playable]');
    if (!figure || !event.target.matches('.ms-plot')) return;
    const media = player(figure);
    if (!media) return;
    const whole = Number(figure.dataset.seconds);
    const moves = { ArrowLeft: -STEP_SECONDS, ArrowDown: -STEP_SECONDS, ArrowRight: STEP_SECONDS, ArrowUp: STEP_SECONDS,
                    Home: -whole, End: whole };
    if (event.key in moves) {
      const moment = Math.max(0, Math.min(whole, media.currentTime + moves[event.key]));
      seek(figure, moment, { play: false });
      showMoment(figure, moment);
    } else if (event.key === ' ' || event.key === 'Enter') {
      if (media.paused) media.play().catch(() => {});
      else media.pause();
    } else return;
    event.preventDefault();
  });

  document.addEventListener('timeupdate', (event) => {
    if (event.target.srcObject) return; // a camera that runs plays no recording
    for (const figure of panel(event.target).querySelectorAll('[data-playable]')) {
      showMoment(figure, event.target.currentTime);
    }
  }, true);
})();
