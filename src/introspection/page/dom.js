/** Creates elements. Strings are inserted as text, never as markup. */

const SVG = 'http://www.w3.org/2000/svg';

/** An element with attributes and children; strings become text, undefined children are left out. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** As `h`, for SVG. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined));
  return element;
}

/** Sets a text only when it differs, so that the browser need not lay out again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
