// What a live update must not touch: menus that are open, and what is marked data-keep.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.matches("details"));
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => element.dataset?.keep === undefined;
