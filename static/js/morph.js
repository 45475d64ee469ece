// What a live update must not touch: menus that are open, and what is marked data-keep, as long as the
// mark is the same: an element whose mark says something else is another one.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.matches("details"));
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element, next) =>
  element.dataset?.keep === undefined || element.dataset.keep !== next.dataset?.keep;
