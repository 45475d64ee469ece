// What a live update must not touch: menus that are open, what a person typed or chose, and what is
// marked data-keep, as long as the mark is the same: one that says something else is another thing.
const typed = (name, field) =>
  (name === "value" && "defaultValue" in field && field.value !== field.defaultValue) ||
  (name === "checked" && "defaultChecked" in field && field.checked !== field.defaultChecked);

Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.matches("details")) && !typed(name, element);
Idiomorph.defaults.callbacks.beforeNodeMorphed = (element, next) =>
  element.dataset?.keep === undefined || element.dataset.keep !== next.dataset?.keep;
