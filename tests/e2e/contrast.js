// Every text of the page that one can read, with the contrast of its colour on what lies behind it
// (WCAG 2): returns those below 4.5:1, or below 3:1 where the letters are large. And every field whose
// edge, or what fills it, is below 3:1 on what lies around it.
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d", { willReadFrequently: true });

  function rgba(text) {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = text;
    brush.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = brush.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  }

  const over = (top, below) => {
    const [red, green, blue, alpha] = top;
    return [red, green, blue].map((value, index) => value * alpha + below[index] * (1 - alpha)).concat(1);
  };

  function behind(element) {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = rgba(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  }

  function faded(element) {
    let opacity = 1;
    for (let each = element; each; each = each.parentElement) opacity *= Number(getComputedStyle(each).opacity);
    return opacity;
  }

  const light = ([red, green, blue]) => {
    const parts = [red, green, blue].map((value) => value / 255);
    const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };

  function contrast(one, other) {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  }

  for (const each of document.querySelectorAll("details")) each.open = true;
  for (const each of document.querySelectorAll("[popover].confirm")) {
    each.setAttribute("popover", "manual");
    each.showPopover();
  }
  // Colours that are still on their way to those of the other theme.
  for (const each of document.getAnimations()) if (each instanceof CSSTransition) each.finish();
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("script, style, noscript, svg, .visually-hidden, [data-blocked], [disabled]")) continue;
    if (!element.checkVisibility({ checkVisibilityCSS: true }) || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const colour = rgba(style.color);
    colour[3] *= faded(element);
    const below = behind(element);
    const ratio = contrast(over(colour, below), below);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const where = `${element.tagName.toLowerCase()}.${[...element.classList].join(".")}`;
      found.set(where, `${where} ${ratio.toFixed(2)}: ${text.slice(0, 30)}`);
    }
  }
  for (const field of document.querySelectorAll(".form-control, .form-select, .form-check-input")) {
    if (field.disabled || !field.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })) continue;
    const around = behind(field.parentElement);
    const style = getComputedStyle(field);
    const edge = parseFloat(style.borderTopWidth) ? over(rgba(style.borderTopColor), around) : around;
    const ratio = Math.max(contrast(edge, around), contrast(behind(field), around));
    const where = `${field.tagName.toLowerCase()}.${[...field.classList].join(".")}`;
    if (ratio < 3) found.set(where, `${where} ${ratio.toFixed(2)}: its edge`);
  }
  return [...found.values()];
}
