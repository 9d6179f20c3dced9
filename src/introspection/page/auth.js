/** What the page shows to somebody without the token. */
import { hasToken, keepToken } from './api.js';
import { h } from './dom.js';

/** What is wrong with the token, in a line. */
export function authText() {
  return hasToken()
    ? 'authentication required: the token is wrong'
    : 'authentication required: this tab has no token';
}

/** Where the token is, and a field for it; `again` runs once it is given. */
export function authCard(again) {
  const field = h('input', {
    type: 'password',
    id: 'token',
    'aria-label': 'Token',
    autocomplete: 'off',
    placeholder: 'token',
  });
  const button = h('button', { type: 'button' }, 'Use this token');
  const use = () => {
    if (field.value.trim() === '') return;
    keepToken(field.value);
    field.value = '';
    again();
  };
  button.addEventListener('click', use);
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') use();
  });
  return h(
    'section',
    { class: 'auth' },
    h('h2', {}, hasToken() ? 'Wrong token' : 'No token'),
    h(
      'p',
      {},
      'The token is in the file ',
      h('code', {}, 'introspection.token'),
      ' of the state directory, which only root can read (',
      h('code', {}, '/run/troupe'),
      ' unless configured otherwise). Open the address that ',
      h('code', {}, 'troupe start'),
      ' printed, or paste the token here. It stays in this tab.',
    ),
    h('p', { class: 'given' }, field, button),
  );
}
