// Connects the forms of a page to django-allauth's scripts, and says when a passkey did not work.
"use strict";
(() => {
  const options = { data: "passkey-options" };
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    document.getElementById("passkey-failed").hidden = false;
  });
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const ids = { ...options, credential: form.elements.credential.id };
    const button = form.querySelector("button").id;
    const { addForm, authenticateForm } = window.allauth.webauthn.forms;
    if (form.dataset.passkey === "add") addForm({ ids: { ...ids, add: button } });
    else authenticateForm({ ids: { ...ids, authenticate: button } });
  }
})();
