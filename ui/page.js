// The page's own few gestures: copy and save the JSON, click a moment to play it, and a playhead on the timeline.
(() => {
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

  function seek(element, seconds) {
    const media = player(element);
    if (!media) return;
    media.currentTime = seconds;
    media.play().catch(() => {});
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-copy], [data-save], [data-seek]');
    if (button?.matches('[data-copy]')) copy(button);
    else if (button?.matches('[data-save]')) save(button);
    else if (button) seek(button, Number(button.dataset.seek));
    const plot = event.target.closest('.ms-plot');
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    seek(plot, (event.clientX - box.left) / box.width * Number(plot.parentElement.dataset.seconds));
  });

  document.addEventListener('timeupdate', (event) => {
    if (event.target.srcObject) return; // a camera that runs plays no recording
    for (const figure of panel(event.target).querySelectorAll('.ms-timeline')) {
      const head = figure.querySelector('.ms-playhead');
      head.hidden = false;
      head.style.setProperty('--at', Math.min(event.target.currentTime / Number(figure.dataset.seconds), 1));
    }
  }, true);
})();
