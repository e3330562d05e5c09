// Keeps a run's page fresh: whenever its event stream says something, the page is fetched again and its content
// replaced. Without this the page is as it was when it was loaded, and complete.
(async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = document.querySelector("details")?.open;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    if (open) document.querySelector("details")?.setAttribute("open", "");
  };
  let wait = 500;
  for (;;) {
    const address = document.querySelector("main").dataset.live;
    if (!address) return;
    try {
      const stream = await fetch(address, { headers: { Accept: "text/event-stream" } });
      const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (let said = await reader?.read(); said && !said.done; said = await reader.read()) {
        if (!said.value.includes("event:")) continue;
        await reader.cancel();
        break;
      }
      await refresh();
      wait = 500;
    } catch {
      wait = Math.min(wait * 2, 15000);
    }
    await pause(wait);
  }
})();
