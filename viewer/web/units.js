'use strict';
// Numbers as the reports write them, and elements with text.

const data = JSON.parse(document.getElementById('data').textContent);

/** Nanoseconds for people, with three digits. */
function time(nanos) {
  const [scale, unit] = nanos >= 1e9 ? [1e9, 's'] : nanos >= 1e6 ? [1e6, 'ms'] : nanos >= 1e3 ? [1e3, 'us'] : [1, 'ns'];
  const value = nanos / scale;
  return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ${unit}`;
}

function count(number) {
  return Math.round(number).toLocaleString('en-US');
}

function percent(share) {
  return share > 0 && share < 0.001 ? '<0.1 %' : `${(share * 100).toFixed(1)} %`;
}

/** An element with properties and children. Texts become text, never markup. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** The value of a colour that the theme has. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Whether a text has what is searched for; without capital letters, in any case. */
function matcher(term) {
  let expression;
  try {
    expression = new RegExp(term, /[A-Z]/.test(term) ? '' : 'i');
  } catch {
    return (text) => text.includes(term);
  }
  return (text) => expression.test(text);
}
